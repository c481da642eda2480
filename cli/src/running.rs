//! A running worker with its engines and its ops port, from start to shutdown.

use std::io;
use std::time::Duration;

use chargegate_worker::{OpsServer, Worker};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engines::Engines;
use crate::output;
use crate::serve::serve;

/// A worker in this process, the engines it uses, and its ops port.
pub(crate) struct RunningWorker {
    worker: Worker,
    engines: Engines,
    ops: OpsServer,
    ops_server: JoinHandle<io::Result<()>>,
    peers: CancellationToken,
}

impl RunningWorker {
    /// Marks the worker as ready and serves the ops port on `listener`. Cancels `peers`, the servers beside the
    /// worker, at shutdown.
    pub(crate) fn start(
        worker: Worker,
        engines: Engines,
        ops: OpsServer,
        listener: TcpListener,
        peers: CancellationToken,
    ) -> Self {
        ops.set_ready(true);
        let ops_server = tokio::spawn(serve(listener, ops.clone().router(), peers.clone()));
        Self { worker, engines, ops, ops_server, peers }
    }

    /// Returns the engines that the worker uses.
    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Waits until `stop` is cancelled or the worker or an engine fails, then marks the worker as not ready.
    pub(crate) async fn run_until(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.worker.failed() => {}
            () = self.engines.failed() => {}
        }
        self.ops.set_ready(false);
    }

    /// Finishes work in progress within `grace` and releases the rest. Returns whether everything was finished.
    pub(crate) async fn shut_down(self, grace: Duration) -> bool {
        output::line("stopping: finishing work in progress (interrupt again to exit at once)");
        let finished = self.worker.stop(grace).await;
        self.engines.close().await;
        self.peers.cancel();
        if let Ok(Err(error)) = self.ops_server.await {
            warn!(%error, "the ops port failed");
        }
        finished
    }
}
