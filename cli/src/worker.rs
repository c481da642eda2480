//! `chargegate worker`: leases requests from a queue, decides them, and delivers callbacks. Any number of workers may
//! run side by side.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chargegate_storage::Effects;
use chargegate_worker::{AclUrl, MetricsError, OpsServer, Worker, WorkerDependencies, install_metrics};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::engines::{EngineOpenError, Engines, StoreTuning, queue_connector, store_connector};
use crate::operators::OpsTokenArgs;
use crate::running::RunningWorker;
use crate::serve::{ListenError, listen};
use crate::settings::{
    AclClientArgs, CallbackClientArgs, CallbackDestinationArgs, DatabaseArgs, OpsArgs, QueueArgs,
    SettingError, WorkerTuningArgs,
};
use crate::{log, output};

/// Interval in which a database on a server commits decisions, and delivery attempts, under load.
pub(crate) const COMMIT_PACE: Duration = Duration::from_millis(20);

/// Run a worker: decide requests and deliver callbacks, beside any number of other workers
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Maximum number of database connections
    #[arg(long, env = "CHARGEGATE_DATABASE_CONNECTIONS", value_name = "SESSIONS", default_value = "8")]
    database_connections: NonZeroU32,
    /// Base URL of the authorization service
    #[arg(long, env = "CHARGEGATE_ACL_URL", value_name = "URL")]
    acl_url: String,
    #[command(flatten)]
    acl: AclClientArgs,
    #[command(flatten)]
    work: WorkerTuningArgs,
    #[command(flatten)]
    destinations: CallbackDestinationArgs,
    #[command(flatten)]
    callback_client: CallbackClientArgs,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    ops_token: OpsTokenArgs,
    #[command(flatten)]
    pub(crate) log: log::LogArgs,
}

/// Works until `stop`, then finishes work in progress and releases the rest.
///
/// # Errors
/// [`WorkerCommandError`]: the worker cannot start, or failed.
pub(crate) async fn run(args: WorkerArgs, stop: CancellationToken) -> Result<(), WorkerCommandError> {
    let worker_settings = args.work.worker(COMMIT_PACE)?;
    let policy = args.destinations.policy()?;
    let acl_url: AclUrl = args.acl_url.parse().map_err(SettingError::AclUrl)?;
    let mut queue = queue_connector(&args.queue)?;
    queue.tune_for_worker(&args.work);
    let store = store_connector(&args.database)?;
    let tuning = StoreTuning {
        connections: args.database_connections,
        callback_lease: args.work.callback_lease(),
        retention: args.work.retention,
    };
    let ops_token = args.ops_token.read().await?;
    let ops = listen(args.ops.ops_listen, "--ops-listen or CHARGEGATE_OPS_LISTEN").await?;
    let metrics = install_metrics()?;
    let effects = Effects::system();
    let authorizer = args.acl.open(acl_url, args.work.acl_connections(), effects.clone()).await?;
    let acl_health = authorizer.health();
    let signer = args.callback_client.signer().await?;
    let client =
        args.callback_client.open(policy, args.work.callback_timeout, signer, effects.clone()).await?;

    let engines = Engines::open_remote(queue, store, tuning, &effects).await?;
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

    let ops_address = ops.local_addr()?;
    info!(ops.address = %ops_address, "started");
    output::line(format_args!("ops       http://{ops_address}/readyz  /healthz  /metrics"));
    output::line("ready");
    let running = RunningWorker::start(worker, engines, ops_state, ops, CancellationToken::new());
    running.run_until(&stop).await;
    let requested = stop.is_cancelled();
    let finished = running.shut_down(args.ops.grace).await;
    output::line(if finished {
        "stopped: other workers continue unfinished work"
    } else {
        "stopped before all work in progress was finished; other workers continue it"
    });
    if requested { Ok(()) } else { Err(WorkerCommandError::Ended) }
}

/// Error of `chargegate worker`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An engine cannot be used.
    #[error(transparent)]
    Engines(#[from] EngineOpenError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The worker failed.
    #[error("the worker failed: fix the cause that the log names, then start it again")]
    Ended,
    /// A listener failed.
    #[error("a listener failed")]
    Io(#[from] io::Error),
}
