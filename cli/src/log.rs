//! Logging to standard error, as text or as JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Flags of the log.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct LogArgs {
    /// Log filter: a level such as info, or levels by module
    #[arg(long = "log", env = "CHARGEGATE_LOG", value_name = "FILTER", default_value = "info")]
    filter: String,
    /// Format of log lines
    #[arg(long = "log-format", env = "CHARGEGATE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: LogFormat,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Installs the log of this process.
///
/// # Errors
/// The filter cannot be parsed, or a log is already installed.
pub(crate) fn start(args: &LogArgs) -> Result<(), LogSetupError> {
    let filter = EnvFilter::builder().parse(&args.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match args.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => lines.json().finish().try_init()?,
    }
    Ok(())
}

/// Error of [`start`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogSetupError {
    /// The filter cannot be parsed.
    #[error("--log or CHARGEGATE_LOG cannot be parsed: write a level such as info, or levels by module")]
    Filter(#[from] ParseError),
    /// A log is already installed.
    #[error("the log cannot be started")]
    Start(#[from] TryInitError),
}
