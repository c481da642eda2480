//! The system's clock, randomness and signals. No other module of this crate reads them.

use std::io;
use std::time::SystemTime;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

/// A source of wall-clock time.
pub(crate) type WallClock = fn() -> SystemTime;

/// Returns the machine's wall-clock time.
#[expect(clippy::disallowed_methods, reason = "the composition root's one clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns a random number generator seeded by the operating system.
pub(crate) fn random() -> StdRng {
    StdRng::from_rng(&mut rand::rng())
}

/// Returns a token that the first SIGINT or SIGTERM cancels. The second one ends the process at once.
///
/// # Errors
/// The signal handlers cannot be installed.
pub(crate) fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    let mut signals = StopSignals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        cancel.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(stop)
}

#[cfg(unix)]
struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
