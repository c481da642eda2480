//! `chargegate acl`: the reference authorization service, small and real.
//!
//! `POST /v1/authorizations {"station_id","driver_token"}` answers `{"status":..}` from a table in a file;
//! `GET /stats` shows how hard it is pressed. A delay and a capacity make it behave like a slower service.

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

pub(crate) use self::file::AclFileError;
pub(crate) use self::service::{AclService, serve};
pub(crate) use self::table::AclTable;

/// Run the reference authorization service
#[derive(Debug, clap::Args)]
pub(crate) struct AclArgs {
    /// The file that says who may charge where (TOML)
    #[arg(long, env = "CHARGEGATE_ACL_FILE", value_name = "PATH")]
    file: PathBuf,
    /// The address to listen on
    #[arg(long, env = "CHARGEGATE_ACL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    /// How long each call takes
    #[arg(long, env = "CHARGEGATE_ACL_DELAY", value_name = "TIME", default_value = "0ms", value_parser = duration::parse)]
    delay: Duration,
    /// How many calls are served at once; further ones wait [default: no limit]
    #[arg(long, env = "CHARGEGATE_ACL_CAPACITY", value_name = "CALLS")]
    capacity: Option<NonZeroUsize>,
}

/// Serves until `stop`.
///
/// # Errors
/// The file cannot be used, or the address cannot be had.
pub(crate) async fn run(args: AclArgs, stop: CancellationToken) -> Result<(), AclCommandError> {
    let table = AclTable::load(&args.file).await?;
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

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AclCommandError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] AclFileError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener failed.
    #[error("the listener failed")]
    Io(#[from] std::io::Error),
}
