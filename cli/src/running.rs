//! A worker in this process: on open engines, with its ops port, until it is told to stop or fails.

use std::io;
use std::time::Duration;

use chargegate_worker::{Ops, Worker};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engines::Engines;
use crate::output;
use crate::serve::serve;

/// A worker at work.
pub(crate) struct RunningWorker {
    worker: Worker,
    engines: Engines,
    ops: Ops,
    ops_server: JoinHandle<io::Result<()>>,
    peers: CancellationToken,
}

impl RunningWorker {
    /// Says on `listener` that it is ready, and how it is. Whatever serves beside it ends with `peers`.
    pub(crate) fn begin(
        worker: Worker,
        engines: Engines,
        ops: Ops,
        listener: TcpListener,
        peers: CancellationToken,
    ) -> Self {
        ops.set_ready(true);
        let ops_server = tokio::spawn(serve(listener, ops.clone().router(), peers.clone()));
        Self { worker, engines, ops, ops_server, peers }
    }

    /// What it works on.
    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Waits until `stop`, or until a part has ended by itself, and is no longer ready then.
    pub(crate) async fn end(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.worker.failed() => {}
            () = self.engines.failed() => {}
        }
        self.ops.set_ready(false);
    }

    /// Finishes what was begun, for as long as `grace`, and hands back the rest; says whether that was enough.
    pub(crate) async fn finish(self, grace: Duration) -> bool {
        output::line("stopping: finishing what was begun (interrupt again to leave at once)");
        let finished = self.worker.stop(grace).await;
        self.engines.close().await;
        self.peers.cancel();
        if let Ok(Err(error)) = self.ops_server.await {
            warn!(%error, "the ops port failed");
        }
        finished
    }
}
