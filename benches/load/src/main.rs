//! The load tests of the whole product on Redis and PostgreSQL: `cargo xtask bench load`, from POST to callback, and
//! `cargo xtask bench overload`, from the queue to the callback before an overloaded authorization service.

mod args;
mod client;
mod duration;
mod error;
mod fill;
mod http_get;
mod latency;
mod ledger;
mod overload;
mod peak;
mod peer_thread;
mod peers;
mod process;
mod product;
mod program;
mod report;
mod run;
mod servers;
mod sizes;

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser as _;

use crate::args::{LoadArgs, LoadMode};
use crate::error::LoadError;
use crate::overload::OverloadArgs;
use crate::report::LoadReport;
use crate::run::LoadRun;

fn main() -> ExitCode {
    let finished = if std::env::args_os().nth(1).is_some_and(|first| first == "overload") {
        let args = OverloadArgs::parse_from(std::env::args_os().skip(1));
        runtime().and_then(|runtime| runtime.block_on(overload::run(&args, now)))
    } else {
        let args = LoadArgs::parse();
        let json = args.json;
        run(args).map(|report| {
            if json {
                print(&report.json());
            } else {
                print(&report);
            }
            if report.is_failure() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        })
    };
    finished.unwrap_or_else(|failure| {
        let _ = writeln!(io::stderr(), "error: {}", ErrorChain(&failure));
        ExitCode::FAILURE
    })
}

/// Returns the runtime of the clients, on this thread; the peers run on another.
fn runtime() -> Result<tokio::runtime::Runtime, LoadError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Runtime)
}

fn run(args: LoadArgs) -> Result<LoadReport, LoadError> {
    let mode = args.mode()?;
    runtime()?.block_on(async {
        let json = args.json;
        let mut bench = LoadRun::open(args, now).await?;
        let report = match mode {
            LoadMode::Open(load) | LoadMode::Soak(load) => bench.open_loop(mode, load).await,
            LoadMode::Drain { messages } => bench.drain(mode, messages.get().into()).await,
            LoadMode::Peak { from, duration, limit } => {
                let show = |step: &report::PeakStep| {
                    if !json {
                        print(step);
                    }
                };
                peak::find(&mut bench, from, duration, limit, show).await
            }
        };
        let closed = bench.close().await;
        let report = report?;
        closed?;
        Ok(report)
    })
}

#[expect(clippy::disallowed_methods, reason = "the composition root's one clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Writes to standard output, and ignores a closed pipe.
pub(crate) fn print(text: &impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Displays an error with its causes.
struct ErrorChain<'a>(&'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
