//! `chargegate up`: edge and worker in one process, with queue and store in one data folder, or on servers where
//! their URLs are set. The edge may also run elsewhere, in front of the same queue.

mod args;
mod demo;
mod edge;
mod edge_url;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chargegate_host::ComponentLoadError;
use chargegate_storage::Effects;
use chargegate_worker::{AclUrlError, MetricsError, OpsServer, Worker, WorkerDependencies, install_metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::args::EngineLocation;
pub(crate) use self::args::UpArgs;
use self::demo::DemoServices;
use self::edge::PreparedEdge;
use crate::engines::{EngineOpenError, Engines, open_folder};
use crate::output;
use crate::running::RunningWorker;
use crate::serve::{ListenError, listen};
use crate::settings::SettingError;
use crate::worker::COMMIT_PACE;

/// Runs until `stop`, then drains.
///
/// # Errors
/// [`UpCommandError`]: the process cannot start, or the worker failed.
pub(crate) async fn run(args: UpArgs, stop: CancellationToken) -> Result<(), UpCommandError> {
    let destinations = args.destinations();
    let policy = destinations.policy()?;
    let engine_location = args.engine_location()?;
    let pace = match engine_location {
        // The embedded engine batches the operations that wait for its single writer.
        EngineLocation::Folder(_) => Duration::ZERO,
        EngineLocation::Servers { .. } => COMMIT_PACE,
    };
    let worker_settings = args.work.worker(pace)?;
    let configured_acl = args.acl_url()?;
    let signer = args.callback_client.signer().await?;
    let edge = PreparedEdge::prepare(&args, &destinations, signer.public_keys()).await?;
    let ops_token = args.ops_token.read().await?;
    let ops = listen(args.ops.ops_listen, "--ops-listen or CHARGEGATE_OPS_LISTEN").await?;
    let peers = CancellationToken::new();
    let demo = if args.demo {
        Some(DemoServices::start(&args, configured_acl.is_none(), peers.clone()).await?)
    } else {
        None
    };
    let acl_url =
        configured_acl.or_else(|| demo.as_ref()?.acl_url()).ok_or(SettingError::AclUrl(AclUrlError))?;
    let metrics = install_metrics()?;
    let effects = Effects::system();
    let authorizer = args.acl.open(acl_url, args.work.acl_connections(), effects.clone()).await?;
    let acl_health = authorizer.health();
    let client =
        args.callback_client.open(policy, args.work.callback_timeout, signer, effects.clone()).await?;

    let engines = match engine_location {
        EngineLocation::Folder(tuning) => open_folder(&args.data_dir, tuning, &effects).await?,
        EngineLocation::Servers { queue, store, tuning } => {
            Engines::open_remote(queue, store, tuning, &effects).await?
        }
    };
    let edge_url = edge.url()?;
    let edge = edge.load().await?;
    let parts = WorkerDependencies {
        queue: engines.queue(),
        store: engines.store(),
        fleet: engines.fleet(),
        authorizer: Arc::new(authorizer),
        effects,
    };
    let ops_state = OpsServer::new(engines.queue(), engines.store(), metrics)
        .with_acl(acl_health)
        .with_operators(engines.operators(), ops_token, parts.effects.clone());
    let worker = Worker::start(&worker_settings, parts, client);

    announce(&edge_url, &ops, demo.as_ref())?;
    let running = RunningWorker::start(worker, engines, ops_state, ops, peers);
    edge.serve(running.engines().producer(), running.run_until(&stop)).await;
    let requested = stop.is_cancelled();
    let finished = running.shut_down(args.ops.grace).await;
    output::line(if finished {
        "stopped: unfinished work continues at the next start"
    } else {
        "stopped before all work in progress was finished; it continues at the next start"
    });
    if requested { Ok(()) } else { Err(UpCommandError::Worker) }
}

/// Logs and prints the addresses.
fn announce(edge: &str, ops: &TcpListener, demo: Option<&DemoServices>) -> io::Result<()> {
    let ops = ops.local_addr()?;
    info!(edge.url = edge, ops.address = %ops, "started");
    output::line(format_args!("edge      {edge}/v1/charging-sessions"));
    output::line(format_args!("ops       http://{ops}/readyz  /healthz  /metrics"));
    if let Some(demo) = demo {
        output::line(demo.banner(edge));
    }
    output::line("ready");
    Ok(())
}

/// Error of `chargegate up`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An engine cannot be opened.
    #[error(transparent)]
    Open(#[from] EngineOpenError),
    /// The edge component cannot be loaded.
    #[error(
        "the edge component cannot be loaded: build it with `cargo xtask edge`, or name another with --edge-component"
    )]
    Load(#[from] ComponentLoadError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The worker failed.
    #[error("the worker failed: fix the cause that the log names, then start it again")]
    Worker,
    /// A listener failed.
    #[error("a listener failed")]
    Io(#[from] io::Error),
}
