//! `chargegate up`: the whole product in one process: edge and worker, and queue and store in one data folder, or on
//! servers where those are named.

mod args;
mod demo;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chargegate_host::{Drain, Host, LoadError};
use chargegate_worker::sqlite::{self, OpenError};
use chargegate_worker::{
    AclUrlError, CallbackClient, CallbackClientError, Effects, HttpAuthorizer, MetricsError, Ops, Parts,
    SystemResolver, Worker, install_metrics,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::args::Args;
use self::args::Place;
use self::demo::Demo;
use crate::engines::{Engines, RemoteError};
use crate::output;
use crate::serve::{ListenError, listen, serve};
use crate::settings::{SettingError, addresses};
use crate::worker::{LOOKUPS, PACE};

/// Runs until `stop`, then drains.
///
/// # Errors
/// [`UpError`]: it cannot start, or an engine ended by itself.
pub(crate) async fn run(args: Args, stop: CancellationToken) -> Result<(), UpError> {
    let callback_allow = args.callback_allow();
    let addresses = addresses(&callback_allow)?;
    let mut host_settings = args.edge.host(callback_allow, &args.data_dir).await?;
    host_settings.limits.drain_timeout = host_settings.limits.drain_timeout.min(args.ops.grace);
    let engines_at = args.place()?;
    let pace = match engines_at {
        // The embedded engine gathers by itself whatever waits for its one writer.
        Place::Folder(_) => Duration::ZERO,
        Place::Servers(_) => PACE,
    };
    let worker_settings = args.work.worker(pace)?;
    let given_acl = args.acl_url()?;
    let edge = listen(args.edge.listen, "--listen or CHARGEGATE_LISTEN").await?;
    let ops = listen(args.ops.ops_listen, "--ops-listen or CHARGEGATE_OPS_LISTEN").await?;
    let peers = CancellationToken::new();
    let demo =
        if args.demo { Some(Demo::start(&args, given_acl.is_none(), peers.clone()).await?) } else { None };
    let acl_url = given_acl.or_else(|| demo.as_ref()?.acl_url()).ok_or(SettingError::AclUrl(AclUrlError))?;
    let metrics = install_metrics()?;
    let effects = Effects::system();

    let engines = match engines_at {
        Place::Folder(settings) => {
            Engines::Embedded(sqlite::Engine::open(&args.data_dir, settings, effects.clone()).await?)
        }
        Place::Servers(servers) => {
            let (queue, store) = *servers;
            Engines::open_remote(queue, store, &effects).await?
        }
    };
    let load = tokio::task::spawn_blocking(move || Host::load(host_settings));
    let host = load.await.map_err(io::Error::other)??;
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
    ops_state.set_ready(true);

    announce(&edge, &ops, demo.as_ref())?;
    let ops_server = tokio::spawn(serve(ops, ops_state.clone().router(), peers.clone()));
    let end = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = worker.failed() => {}
            () = engines.failed() => {}
        }
        ops_state.set_ready(false);
    };
    let drain = host.serve(edge, engines.edge_queue(), end).await;
    let asked = stop.is_cancelled();
    output::line("stopping: finishing what was begun (interrupt again to leave at once)");
    if let Drain::Cut { connections } = drain {
        warn!(connections, "cut connections whose requests did not end in time");
    }
    let finished = worker.stop(args.ops.grace).await;
    engines.close().await;
    peers.cancel();
    if let Ok(Err(error)) = ops_server.await {
        warn!(%error, "the ops port failed");
    }
    output::line(if finished {
        "stopped: what is unfinished goes on at the next start"
    } else {
        "stopped before everything begun was finished; it goes on at the next start"
    });
    if asked { Ok(()) } else { Err(UpError::Worker) }
}

/// Tells where everything is.
fn announce(edge: &TcpListener, ops: &TcpListener, demo: Option<&Demo>) -> io::Result<()> {
    let (edge, ops): (SocketAddr, SocketAddr) = (edge.local_addr()?, ops.local_addr()?);
    info!(edge.address = %edge, ops.address = %ops, "started");
    output::line(format_args!("edge      http://{edge}/v1/charging-sessions"));
    output::line(format_args!("ops       http://{ops}/readyz  /healthz  /metrics"));
    if let Some(demo) = demo {
        output::line(demo.invitation(edge));
    }
    output::line("ready");
    Ok(())
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
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
