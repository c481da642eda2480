//! `chargegate edge`: only the edge, in front of a queue on a server. It replaces Spin and Workers on machines that
//! have neither.

use std::io;
use std::path::PathBuf;

use chargegate_host::{ComponentLoadError, DrainOutcome, EdgeComponentHost};
use chargegate_storage::Effects;
use chargegate_worker::{MetricsError, OpsServer, install_metrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engines::{EngineOpenError, queue_connector};
use crate::serve::{ListenError, listen, serve};
use crate::settings::{
    CallbackDestinationArgs, EdgeHostArgs, OpsArgs, QueueArgs, QueueLimitArgs, SettingError,
};
use crate::{log, output};

/// Run only the edge: accept requests and enqueue them
#[derive(Debug, clap::Args)]
pub(crate) struct EdgeArgs {
    #[command(flatten)]
    edge: EdgeHostArgs,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    limit: QueueLimitArgs,
    #[command(flatten)]
    destinations: CallbackDestinationArgs,
    /// Folder for the compiled component
    #[arg(long, env = "CHARGEGATE_DATA_DIR", value_name = "PATH", default_value = ".chargegate")]
    data_dir: PathBuf,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    pub(crate) log: log::LogArgs,
}

/// Serves until `stop`, then finishes the requests in flight.
///
/// # Errors
/// [`EdgeCommandError`]: the edge cannot start.
pub(crate) async fn run(args: EdgeArgs, stop: CancellationToken) -> Result<(), EdgeCommandError> {
    args.destinations.policy()?;
    let mut host_settings = args.edge.host(&args.destinations, None, &args.data_dir).await?;
    host_settings.limits.drain_timeout = args.ops.grace;
    let mut queue = queue_connector(&args.queue)?;
    queue.limit_depth(args.limit.queue_limit);
    let edge = listen(args.edge.listen, "--listen or CHARGEGATE_LISTEN").await?;
    let ops = listen(args.ops.ops_listen, "--ops-listen or CHARGEGATE_OPS_LISTEN").await?;
    let metrics = install_metrics()?;
    let queue = queue.open(&Effects::system()).await?;
    let load = tokio::task::spawn_blocking(move || EdgeComponentHost::load(host_settings));
    let host = load.await.map_err(io::Error::other)??;

    let ops_state = OpsServer::for_edge(queue.queue, metrics);
    ops_state.set_ready(true);
    let (edge_address, ops_address) = (edge.local_addr()?, ops.local_addr()?);
    info!(edge.address = %edge_address, ops.address = %ops_address, "started");
    output::line(format_args!("edge      http://{edge_address}/v1/charging-sessions"));
    output::line(format_args!("ops       http://{ops_address}/readyz  /healthz  /metrics"));
    output::line("ready");

    let peers = CancellationToken::new();
    let ops_server = tokio::spawn(serve(ops, ops_state.clone().router(), peers.clone()));
    let end = async {
        stop.cancelled().await;
        ops_state.set_ready(false);
    };
    if let DrainOutcome::Cut { connections } = host.serve(edge, queue.producer, end).await {
        warn!(connections, "closed connections whose requests did not finish in time");
    }
    queue.handle.close().await;
    peers.cancel();
    if let Ok(Err(error)) = ops_server.await {
        warn!(%error, "the ops port failed");
    }
    output::line("stopped");
    Ok(())
}

/// Error of `chargegate edge`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] EngineOpenError),
    /// The edge component cannot be loaded.
    #[error(
        "the edge component cannot be loaded: build it with `cargo xtask edge`, or name another with --edge-component"
    )]
    Load(#[from] ComponentLoadError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A listener failed.
    #[error("a listener failed")]
    Io(#[from] io::Error),
}
