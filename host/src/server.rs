//! The server: accepting connections, limiting their number, and draining them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chargegate_storage::queue::Producer;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::EdgeComponentHost;
use crate::exchange::ExchangeHandler;
use crate::instances::InstanceFactory;
use crate::settings::HostLimits;
use crate::write_timeout::WriteTimeout;

/// Pause after a failed accept, which happens when the process has no free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Minimum time for the instances to stop when the drain timeout has already passed.
const MIN_INSTANCE_SHUTDOWN: Duration = Duration::from_millis(50);

/// Outcome of the shutdown of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum DrainOutcome {
    /// Every open request received its response.
    Complete,
    /// Connections were cut at the drain timeout.
    Cut {
        /// Number of connections that were cut.
        connections: usize,
    },
}

impl EdgeComponentHost {
    /// Serves the component on `listener` and sends its messages to `queue`, until `shutdown` is ready. Then stops
    /// accepting, drains the requests in flight within the drain timeout, and cuts the remaining connections.
    ///
    /// When this returns, all instances and `queue` have been dropped, unless a guest could not be stopped in time.
    pub async fn serve(
        &self,
        listener: TcpListener,
        queue: Arc<dyn Producer>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> DrainOutcome {
        let limits = self.loaded.settings.limits;
        let (stop_instances, instances) = (CancellationToken::new(), TaskTracker::new());
        let exchange = ExchangeHandler::new(InstanceFactory {
            loaded: Arc::clone(&self.loaded),
            queue,
            stop: stop_instances.clone(),
            tracker: instances.clone(),
        });
        let connections = ConnectionSet {
            exchange,
            limits,
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            open: TaskTracker::new(),
        };
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            () = connections.accept(listener) => {}
            () = &mut shutdown => {}
        }
        let deadline = Instant::now() + limits.drain_timeout;
        let outcome = connections.drain(deadline).await;
        stop_instances.cancel();
        instances.close();
        if timeout_at(deadline.max(Instant::now() + MIN_INSTANCE_SHUTDOWN), instances.wait()).await.is_err() {
            tracing::warn!("an instance of the edge component did not stop in time");
        }
        outcome
    }
}

/// The open connections of a host.
struct ConnectionSet {
    exchange: ExchangeHandler,
    limits: HostLimits,
    draining: CancellationToken,
    cut: CancellationToken,
    open: TaskTracker,
}

impl ConnectionSet {
    /// Accepts connections forever; the listener is closed when the future is dropped.
    async fn accept(&self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => self.spawn(stream, permit),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // With Nagle's algorithm a response in two segments would wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        let exchange = self.exchange.clone();
        let service = service_fn(move |request| {
            let exchange = exchange.clone();
            async move { Ok::<_, Infallible>(exchange.respond(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(self.limits.request_head)
            .serve_connection(TokioIo::new(WriteTimeout::new(stream, self.limits.write_timeout)), service);
        let (draining, cut) = (self.draining.clone(), self.cut.clone());
        self.open.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = draining.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection => ended,
                        () = cut.cancelled() => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection failed");
            }
            drop(permit);
        });
    }

    /// Waits until `deadline` for the open connections to end, then cuts them.
    async fn drain(self, deadline: Instant) -> DrainOutcome {
        self.draining.cancel();
        self.open.close();
        if timeout_at(deadline, self.open.wait()).await.is_ok() {
            return DrainOutcome::Complete;
        }
        let connections = self.open.len();
        self.cut.cancel();
        self.open.wait().await;
        DrainOutcome::Cut { connections }
    }
}
