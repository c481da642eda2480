//! `chargegate acl`: the reference authorization service, small and real.
//!
//! `POST /v1/authorizations {"station_id","driver_token"}` answers `{"status":..}` from a table in a file;
//! `GET /stats` shows its load. It can simulate a service that is slow, overloaded or broken.

mod check;
mod delay;
mod file;
mod reload;
mod service;
mod simulation;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use self::reload::AclFileWatch;
use crate::serve::ListenError;
use crate::{output, system};

pub(crate) use self::check::{AclCheckArgs, run as check};
pub(crate) use self::delay::AclDelay;
pub(crate) use self::file::AclFileError;
pub(crate) use self::service::{AclService, serve};
pub(crate) use self::simulation::{AclSimulation, AclSimulationError};
pub(crate) use self::table::AclTable;

/// Run the reference authorization service
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct AclArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AclCommand>,
    /// TOML file with the driver tokens and where each may charge; loaded again when it changes
    #[arg(long, env = "CHARGEGATE_ACL_FILE", value_name = "PATH", required = true)]
    file: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, env = "CHARGEGATE_ACL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    #[command(flatten)]
    simulation: AclSimulation,
}

/// Commands beside the service itself.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AclCommand {
    Check(Box<AclCheckArgs>),
}

/// Serves until `stop`.
///
/// # Errors
/// The flags do not fit together, the file is unusable, or the address cannot be bound.
pub(crate) async fn run(args: AclArgs, stop: CancellationToken) -> Result<(), AclCommandError> {
    args.simulation.validate()?;
    // Required without a subcommand.
    let (watch, table) = AclFileWatch::open(&args.file.unwrap_or_default()).await?;
    let listener = crate::serve::listen(args.listen, "--listen or CHARGEGATE_ACL_LISTEN").await?;
    let tokens = table.len();
    output::line(format_args!("acl listening on http://{} ({tokens} tokens)", listener.local_addr()?));
    let acl = AclService::new(table, args.simulation, system::now, system::random());
    tokio::spawn(watch.run(acl.table(), stop.clone()));
    serve(listener, acl, stop).await?;
    Ok(())
}

/// Error of `chargegate acl`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AclCommandError {
    /// The flags of the simulated behaviour do not fit together.
    #[error(transparent)]
    Simulation(#[from] AclSimulationError),
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
