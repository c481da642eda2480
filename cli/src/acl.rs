//! `chargegate acl`: the reference authorization service, small and real.
//!
//! `POST /v1/authorizations {"station_id","driver_token"}` answers `{"status":..}` from a table in a file;
//! `GET /stats` shows its load. A delay and a capacity make it behave like a slower service.

mod check;
mod file;
mod service;
mod table;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::serve::ListenError;
use crate::{duration, output, system};

pub(crate) use self::check::{AclCheckArgs, run as check};
pub(crate) use self::file::AclFileError;
pub(crate) use self::service::{AclService, serve};
pub(crate) use self::table::AclTable;

/// Run the reference authorization service
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct AclArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AclCommand>,
    /// TOML file with the driver tokens and where each may charge
    #[arg(long, env = "CHARGEGATE_ACL_FILE", value_name = "PATH", required = true)]
    file: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, env = "CHARGEGATE_ACL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    /// Duration of each call
    #[arg(long, env = "CHARGEGATE_ACL_DELAY", value_name = "TIME", default_value = "0ms", value_parser = duration::parse)]
    delay: Duration,
    /// Maximum number of concurrent calls; further ones wait [default: no limit]
    #[arg(long, env = "CHARGEGATE_ACL_CAPACITY", value_name = "CALLS")]
    capacity: Option<NonZeroUsize>,
}

/// Commands beside the service itself.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AclCommand {
    Check(Box<AclCheckArgs>),
}

/// Serves until `stop`.
///
/// # Errors
/// The file is unusable, or the address cannot be bound.
pub(crate) async fn run(args: AclArgs, stop: CancellationToken) -> Result<(), AclCommandError> {
    // Required without a subcommand.
    let table = AclTable::load(&args.file.unwrap_or_default()).await?;
    let listener = crate::serve::listen(args.listen, "--listen or CHARGEGATE_ACL_LISTEN").await?;
    let tokens = table.len();
    output::line(format_args!("acl listening on http://{} ({tokens} tokens)", listener.local_addr()?));
    let mut acl = AclService::new(table, system::now).with_delay(args.delay);
    if let Some(capacity) = args.capacity {
        acl = acl.with_capacity(capacity);
    }
    serve(listener, acl, stop).await?;
    Ok(())
}

/// Error of `chargegate acl`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AclCommandError {
    /// The file is unusable.
    #[error(transparent)]
    File(#[from] AclFileError),
    /// The address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener failed.
    #[error("the listener failed")]
    Io(#[from] std::io::Error),
}
