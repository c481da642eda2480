//! HTTP server in front of the instances, which are shared and reused as under `spin up`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use super::outgoing::{ConnectionPool, pool};
use super::{SpinState, loaded};
use crate::host::support::RawConnection;
use crate::spin::compose::SpinQueue;
use crate::spin::manifest::{ComponentGrants, SpinManifest};

/// Defaults of `spin up`.
const REUSE: usize = 128;
const CONCURRENT_REUSE: usize = 16;
/// Longer than Spin's second, so that an instance survives between a fault and the next request on a slow machine.
const IDLE: Duration = Duration::from_mins(1);

/// The application, served as by `spin up`.
pub(in crate::spin) struct SpinHost {
    pub(in crate::spin) address: SocketAddr,
    instances: Arc<AtomicUsize>,
    served: JoinHandle<()>,
}

impl SpinHost {
    /// Serves on a free port with these variables of the application, and long timeouts unless they are among them: the
    /// defaults are too short for a busy machine.
    pub(in crate::spin) async fn up<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let long = [("queue_timeout_ms", "20000"), ("enqueue_timeout_ms", "50000")];
        let set = long.into_iter().chain(variables);
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::up_with(SpinQueue::Redis, &set).await
    }

    /// Serves with this queue and exactly these variables.
    pub(in crate::spin) async fn up_with(queue: SpinQueue, variables: &BTreeMap<String, String>) -> Self {
        let instances = Arc::default();
        let handler = ProxyHandler::new(SpinInstances {
            queue,
            pool: pool(),
            grants: Arc::new(SpinManifest::read().grants(variables)),
            made: Arc::clone(&instances),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let handler = handler.clone();
                let service = service_fn(move |request| answer(handler.clone(), request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async { drop(connection.await) });
            }
        });
        Self { address, instances, served }
    }

    pub(in crate::spin) async fn connect(&self) -> RawConnection {
        RawConnection::to(self.address).await
    }

    /// Returns the number of instances created so far.
    pub(in crate::spin) fn instances(&self) -> usize {
        self.instances.load(Ordering::Relaxed)
    }
}

impl Drop for SpinHost {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn answer(
    handler: ProxyHandler<SpinInstances>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    // A separate task, as in Spin: the guest continues when the client disconnects.
    let answered = tokio::spawn(async move {
        let (head, body) = handler.handle((), Request::from_parts(head, body)).await?.into_parts();
        Ok::<_, wasmtime::Error>(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    });
    Ok(answered.await.unwrap().unwrap_or_else(|error| panic!("the component fails: {error:?}")))
}

struct SpinInstances {
    queue: SpinQueue,
    pool: ConnectionPool,
    grants: Arc<ComponentGrants>,
    made: Arc<AtomicUsize>,
}

impl HandlerState for SpinInstances {
    type StoreData = SpinState;
    type WorkerExpiration = IdleExpiration;
    type WorkerState = InstanceLimits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<SpinState, IdleExpiration, InstanceLimits>> {
        self.made.fetch_add(1, Ordering::Relaxed);
        let loaded = loaded(self.queue);
        let state = SpinState::new(Arc::clone(&self.grants), self.pool.clone());
        let mut store = Store::new(loaded.engine(), state);
        let proxy = Proxy::P3(loaded.instantiate_async(&mut store).await?);
        let expiration = IdleExpiration { timer: Box::pin(sleep(IDLE)), since: None };
        Ok(Instance { store, proxy, view: SpinState::view, expiration, state: InstanceLimits })
    }
}

struct InstanceLimits;

impl WorkerState for InstanceLimits {
    type StoreData = SpinState;
    type RequestData = ();

    fn should_accept_request(&self, concurrent_count: usize, total_count: usize) -> ShouldAccept {
        if total_count >= REUSE {
            ShouldAccept::Never
        } else if concurrent_count >= CONCURRENT_REUSE {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, SpinState>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        // By default Spin limits no request.
        Box::pin(pending())
    }

    fn drop(&self, _store: Store<SpinState>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            eprintln!("an instance ended: {error:?}");
        }
    }
}

/// Ends an idle instance.
struct IdleExpiration {
    timer: Pin<Box<Sleep>>,
    since: Option<Instant>,
}

impl WorkerExpiration for IdleExpiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if status == WorkerStatus::Requests {
            return Poll::Pending;
        }
        if self.since != Some(start) {
            self.since = Some(start);
            self.timer.as_mut().reset((start + IDLE).into());
        }
        self.timer.as_mut().poll(cx)
    }
}
