//! The log: lines on standard error, for people or for machines.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// What is logged, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct LogArgs {
    /// What is logged: a level such as info, or levels by module
    #[arg(long = "log", env = "CHARGEGATE_LOG", value_name = "FILTER", default_value = "info")]
    filter: String,
    /// How it is logged
    #[arg(long = "log-format", env = "CHARGEGATE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Starts the log of this process.
///
/// # Errors
/// The filter cannot be read, or a log was started before.
pub(crate) fn start(args: &LogArgs) -> Result<(), LogSetupError> {
    let filter = EnvFilter::builder().parse(&args.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match args.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => lines.json().finish().try_init()?,
    }
    Ok(())
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogSetupError {
    /// The filter.
    #[error("--log or CHARGEGATE_LOG cannot be read: write a level like info, or levels by module")]
    Filter(#[from] ParseError),
    /// A log was started before.
    #[error("the log cannot be started")]
    Start(#[from] TryInitError),
}
