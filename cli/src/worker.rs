//! `chargegate worker`: takes requests from a queue, decides them, and calls back. Any number may run side by side.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chargegate_storage::Effects;
use chargegate_worker::{
    AclUrl, CallbackClient, CallbackClientError, HttpAuthorizer, MetricsError, Ops, Parts, SystemResolver,
    Worker, install_metrics,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::engines::{Engines, RemoteError};
use crate::running::RunningWorker;
use crate::serve::{ListenError, listen};
use crate::settings::{
    CallbackAddressArgs, DatabaseArgs, OpsArgs, QueueArgs, SettingError, WorkerTuningArgs, addresses,
};
use crate::{log, output};

/// Name look-ups under way at once.
pub(crate) const LOOKUPS: usize = 64;
/// Under load, a database on a server commits decisions, and attempts, once in this time.
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// Run a worker: decide requests and call back, beside any number of other workers
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Sessions with the database at most
    #[arg(long, env = "CHARGEGATE_DATABASE_CONNECTIONS", value_name = "SESSIONS", default_value = "8")]
    database_connections: NonZeroU32,
    /// The base URL of the authorization service, http only
    #[arg(long, env = "CHARGEGATE_ACL_URL", value_name = "URL")]
    acl_url: String,
    #[command(flatten)]
    work: WorkerTuningArgs,
    #[command(flatten)]
    addresses: CallbackAddressArgs,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    pub(crate) log: log::LogArgs,
}

/// Works until `stop`, then finishes what was begun and hands back the rest.
///
/// # Errors
/// [`WorkerCommandError`]: it cannot start, or ended by itself.
pub(crate) async fn run(args: WorkerArgs, stop: CancellationToken) -> Result<(), WorkerCommandError> {
    let worker_settings = args.work.worker(PACE)?;
    let addresses = addresses(&args.addresses.callback_allow)?;
    let acl_url: AclUrl = args.acl_url.parse().map_err(SettingError::AclUrl)?;
    let queue = args.queue.settings()?.for_worker(&args.work);
    let store =
        args.database.settings(args.database_connections, args.work.callback_lease(), args.work.retention)?;
    let ops = listen(args.ops.ops_listen, "--ops-listen or CHARGEGATE_OPS_LISTEN").await?;
    let metrics = install_metrics()?;
    let effects = Effects::system();
    let resolver = Arc::new(SystemResolver::new(LOOKUPS));
    let connections = args.work.callbacks_per_host.get();
    let client = CallbackClient::new(addresses, resolver, args.work.callback_timeout, connections)?;

    let engines = Engines::open_remote(queue, store, &effects).await?;
    let parts = Parts {
        queue: engines.queue(),
        store: engines.store(),
        authorizer: Arc::new(HttpAuthorizer::new(acl_url, args.work.acl_slots.get())),
        effects,
    };
    let ops_state = Ops::new(engines.queue(), engines.store(), metrics);
    let worker = Worker::start(&worker_settings, parts, client);

    let ops_address = ops.local_addr()?;
    info!(ops.address = %ops_address, "started");
    output::line(format_args!("ops       http://{ops_address}/readyz  /healthz  /metrics"));
    output::line("ready");
    let running = RunningWorker::begin(worker, engines, ops_state, ops, CancellationToken::new());
    running.end(&stop).await;
    let asked = stop.is_cancelled();
    let finished = running.finish(args.ops.grace).await;
    output::line(if finished {
        "stopped: other workers go on with what is unfinished"
    } else {
        "stopped before everything begun was finished; other workers go on with it"
    });
    if asked { Ok(()) } else { Err(WorkerCommandError::Ended) }
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An engine cannot be used.
    #[error(transparent)]
    Engines(#[from] RemoteError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Client(#[from] CallbackClientError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The worker ended by itself.
    #[error("the worker cannot go on, the log says why: once that is mended, start again")]
    Ended,
    /// A listener failed.
    #[error("a listener failed")]
    Io(#[from] io::Error),
}
