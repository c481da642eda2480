//! Connections: how they come, how many there are, and how they end.

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

use crate::engine::Host;
use crate::exchange::Exchange;
use crate::instances::Instances;
use crate::settings::Limits;
use crate::taken::Taken;

/// How long no connection is accepted after accepting failed, as it does when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drain {
    /// Every request was answered.
    Complete,
    /// Connections were cut when the time to drain was over.
    Cut {
        /// How many.
        connections: usize,
    },
}

impl Host {
    /// Serves the component on `listener`, its messages going to `queue`, until `shutdown` is ready; then accepts no
    /// more, lets the requests in flight finish within the drain timeout, and cuts what is left.
    ///
    /// When it returns, no instance is alive and `queue` has been dropped, unless a guest could not be stopped in time.
    pub async fn serve(
        &self,
        listener: TcpListener,
        queue: Arc<dyn Producer>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Drain {
        let limits = self.loaded.settings.limits;
        let (stop_instances, instances) = (CancellationToken::new(), TaskTracker::new());
        let exchange = Exchange::new(Instances {
            loaded: Arc::clone(&self.loaded),
            queue,
            stop: stop_instances.clone(),
            alive: instances.clone(),
        });
        let connections = Connections {
            exchange,
            limits,
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            open: TaskTracker::new(),
        };
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            () = connections.accept(listener) => {}
            () = &mut shutdown => {}
        }
        let deadline = Instant::now() + limits.drain_timeout;
        let end = connections.finish(deadline).await;
        stop_instances.cancel();
        instances.close();
        if timeout_at(deadline.max(Instant::now() + ACCEPT_PAUSE), instances.wait()).await.is_err() {
            tracing::warn!("an instance of the edge component could not be stopped");
        }
        end
    }
}

struct Connections {
    exchange: Exchange,
    limits: Limits,
    drain: CancellationToken,
    cut: CancellationToken,
    open: TaskTracker,
}

impl Connections {
    /// Accepts for ever; the listener is closed when the future is dropped.
    async fn accept(&self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => self.spawn(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Without it an answer in two segments waits for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let exchange = self.exchange.clone();
        let service = service_fn(move |request| {
            let exchange = exchange.clone();
            async move { Ok::<_, Infallible>(exchange.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(self.limits.request_head)
            .serve_connection(TokioIo::new(Taken::new(stream, self.limits.write_timeout)), service);
        let (drain, cut) = (self.drain.clone(), self.cut.clone());
        self.open.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = drain.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection => ended,
                        () = cut.cancelled() => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }

    /// Lets the open connections end by themselves until `deadline`, then cuts them.
    async fn finish(self, deadline: Instant) -> Drain {
        self.drain.cancel();
        self.open.close();
        if timeout_at(deadline, self.open.wait()).await.is_ok() {
            return Drain::Complete;
        }
        let connections = self.open.len();
        self.cut.cancel();
        self.open.wait().await;
        Drain::Cut { connections }
    }
}
