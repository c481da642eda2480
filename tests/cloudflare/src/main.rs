//! `cloudflare-queues-emulator`: Cloudflare Queues for development. It runs until its standard input ends or a signal
//! arrives.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;

use chargegate_cloudflare_emulator::{
    ApiTokenSettings, CloudflareEmulator, EmulatedQueueSettings, EmulatorSettings, EmulatorStartError,
    PullConsumerSettings, QueueConsumer, TokenPermission,
};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Local emulator of Cloudflare Queues
#[derive(Debug, Parser)]
struct EmulatorArgs {
    /// Listen address of both protocols
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Account that owns the queues
    #[arg(long, value_name = "ID")]
    account: String,
    /// A queue with options; repeatable
    #[arg(long = "queue", value_name = "NAME:ID[:dead=NAME][:max_retries=N]", required = true)]
    queues: Vec<QueueArg>,
    /// Bearer token required from API clients
    #[arg(long, env = "CLOUDFLARE_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: String,
    /// Accept any number of messages per second
    #[arg(long)]
    unlimited: bool,
}

/// A queue on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct QueueArg {
    name: String,
    id: String,
    pull: PullConsumerSettings,
}

/// The text does not describe a queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be NAME:ID[:dead=NAME][:max_retries=N]")]
struct QueueArgError;

impl FromStr for QueueArg {
    type Err = QueueArgError;

    fn from_str(text: &str) -> Result<Self, QueueArgError> {
        let mut parts = text.split(':');
        let mut named =
            || parts.next().filter(|part| !part.is_empty()).map(str::to_owned).ok_or(QueueArgError);
        let (name, id) = (named()?, named()?);
        let mut pull = PullConsumerSettings::default();
        for part in parts {
            match part.split_once('=').ok_or(QueueArgError)? {
                ("dead", name) if !name.is_empty() => pull.dead_letter_queue = Some(name.to_owned()),
                ("max_retries", number) => pull.max_retries = number.parse().map_err(|_| QueueArgError)?,
                _ => return Err(QueueArgError),
            }
        }
        Ok(Self { name, id, pull })
    }
}

impl EmulatorArgs {
    fn settings(self) -> EmulatorSettings {
        let account = self.account;
        let queues = self.queues.into_iter().map(|QueueArg { name, id, pull }| EmulatedQueueSettings {
            consumer: QueueConsumer::HttpPull(pull),
            ..EmulatedQueueSettings::new(&account, &id, &name)
        });
        let defaults = EmulatorSettings::default();
        EmulatorSettings {
            listen: self.listen,
            queues: queues.collect(),
            tokens: vec![ApiTokenSettings::new(&account, &self.token, TokenPermission::Edit)],
            messages_per_second: defaults.messages_per_second.filter(|_| !self.unlimited),
            ..defaults
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(EmulatorArgs::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut causes = String::new();
            let mut cause = error.source();
            while let Some(error) = cause {
                causes = format!("{causes}: {error}");
                cause = error.source();
            }
            let _ = writeln!(io::stderr(), "{error}{causes}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: EmulatorArgs) -> Result<(), EmulatorRunError> {
    let emulator = CloudflareEmulator::start(args.settings()).await?;
    let mut out = io::stdout();
    writeln!(out, "cloudflare queues: broker http://{}, api {}", emulator.address(), emulator.api_url())?;
    out.flush()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        () = parent_exited() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop_listening().await;
    Ok(())
}

/// Waits until standard input ends, which means that the parent process is gone.
async fn parent_exited() {
    let (gone, ended) = oneshot::channel();
    // A detached thread, since a blocking read cannot be cancelled.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = gone.send(());
    });
    let _ = ended.await;
}

/// Reason why the program fails.
#[derive(Debug, thiserror::Error)]
enum EmulatorRunError {
    /// The emulator cannot start.
    #[error("cannot start with the given --listen and --queue")]
    Start(#[from] EmulatorStartError),
    /// Signals or standard output are unavailable.
    #[error("cannot use standard output or signals")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_argument_is_parsed_with_its_options() {
        let queue: QueueArg = "jobs:cafe:dead=jobs-dead:max_retries=9".parse().unwrap();
        assert_eq!((queue.name.as_str(), queue.id.as_str(), queue.pull.max_retries), ("jobs", "cafe", 9));
        assert_eq!(queue.pull.dead_letter_queue.as_deref(), Some("jobs-dead"));
        for wrong in ["", "jobs", "jobs:", ":id", "jobs:id:dead", "jobs:id:dead=", "jobs:id:max_retries=x"] {
            assert_eq!(wrong.parse::<QueueArg>(), Err(QueueArgError), "{wrong}");
        }
    }
}
