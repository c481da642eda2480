//! `chargegate up`: the whole product in one process: edge and worker, and queue and store in one data folder, or on
//! servers where those are named. The edge may run elsewhere before the same queue.

mod args;
mod demo;
mod edge;

use chargegate_sqlite as sqlite;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chargegate_host::LoadError;
use chargegate_sqlite::{self, OpenError};
use chargegate_storage::Effects;
use chargegate_worker::{
    AclUrlError, CallbackClient, CallbackClientError, HttpAuthorizer, MetricsError, Ops, Parts,
    SystemResolver, Worker, install_metrics,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::args::EngineLocation;
pub(crate) use self::args::UpArgs;
use self::demo::DemoServices;
use self::edge::PreparedEdge;
use crate::engines::{Engines, RemoteError};
use crate::output;
use crate::running::RunningWorker;
use crate::serve::{ListenError, listen};
use crate::settings::{SettingError, addresses};
use crate::worker::{LOOKUPS, PACE};

/// Runs until `stop`, then drains.
///
/// # Errors
/// [`UpCommandError`]: it cannot start, or an engine ended by itself.
pub(crate) async fn run(args: UpArgs, stop: CancellationToken) -> Result<(), UpCommandError> {
    let callback_allow = args.callback_allow();
    let addresses = addresses(&callback_allow)?;
    let engines_at = args.place()?;
    let pace = match engines_at {
        // The embedded engine gathers by itself whatever waits for its one writer.
        EngineLocation::Folder(_) => Duration::ZERO,
        EngineLocation::Servers(_) => PACE,
    };
    let worker_settings = args.work.worker(pace)?;
    let given_acl = args.acl_url()?;
    let edge = PreparedEdge::prepare(&args, callback_allow).await?;
    let ops = listen(args.ops.ops_listen, "--ops-listen or CHARGEGATE_OPS_LISTEN").await?;
    let peers = CancellationToken::new();
    let demo = if args.demo {
        Some(DemoServices::start(&args, given_acl.is_none(), peers.clone()).await?)
    } else {
        None
    };
    let acl_url = given_acl.or_else(|| demo.as_ref()?.acl_url()).ok_or(SettingError::AclUrl(AclUrlError))?;
    let metrics = install_metrics()?;
    let effects = Effects::system();

    let engines = match engines_at {
        EngineLocation::Folder(settings) => {
            Engines::Embedded(sqlite::Engine::open(&args.data_dir, settings, effects.clone()).await?)
        }
        EngineLocation::Servers(servers) => {
            let (queue, store) = *servers;
            Engines::open_remote(queue, store, &effects).await?
        }
    };
    let edge_url = edge.url()?;
    let edge = edge.load().await?;
    let parts = Parts {
        queue: engines.queue(),
        store: engines.store(),
        authorizer: Arc::new(HttpAuthorizer::new(acl_url, args.work.acl_slots.get())),
        effects,
    };
    let resolver = Arc::new(SystemResolver::new(LOOKUPS));
    let connections = args.work.callbacks_per_host.get();
    let client = CallbackClient::new(addresses, resolver, args.work.callback_timeout, connections)?;
    let ops_state = Ops::new(engines.queue(), engines.store(), metrics);
    let worker = Worker::start(&worker_settings, parts, client);

    announce(&edge_url, &ops, demo.as_ref())?;
    let running = RunningWorker::begin(worker, engines, ops_state, ops, peers);
    edge.serve(running.engines().edge_queue(), running.end(&stop)).await;
    let asked = stop.is_cancelled();
    let finished = running.finish(args.ops.grace).await;
    output::line(if finished {
        "stopped: what is unfinished goes on at the next start"
    } else {
        "stopped before everything begun was finished; it goes on at the next start"
    });
    if asked { Ok(()) } else { Err(UpCommandError::Worker) }
}

/// Tells where everything is.
fn announce(edge: &str, ops: &TcpListener, demo: Option<&DemoServices>) -> io::Result<()> {
    let ops = ops.local_addr()?;
    info!(edge.url = edge, ops.address = %ops, "started");
    output::line(format_args!("edge      {edge}/v1/charging-sessions"));
    output::line(format_args!("ops       http://{ops}/readyz  /healthz  /metrics"));
    if let Some(demo) = demo {
        output::line(demo.invitation(edge));
    }
    output::line("ready");
    Ok(())
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A server cannot be used.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The edge component cannot be run.
    #[error(
        "the edge component cannot be run: build it with `cargo xtask edge`, or name another with --edge-component"
    )]
    Load(#[from] LoadError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Client(#[from] CallbackClientError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The worker ended by itself.
    #[error("the worker cannot go on, the log says why: once that is mended, start again")]
    Worker,
    /// A listener failed.
    #[error("a listener failed")]
    Io(#[from] io::Error),
}
