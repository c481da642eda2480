//! The product's peers: an authorization service with a response time, and the receiver of callbacks.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chargegate_core::DecisionStatus;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};

use crate::ledger::{LoadCallback, LoadLedger};

/// Both peers, on a separate thread that does not delay the clients. They stop when this is dropped.
#[derive(Debug)]
pub(crate) struct LoadPeers {
    runtime: Option<Runtime>,
    acl: SocketAddr,
    sink: SocketAddr,
    calls: Arc<AclCallCounters>,
}

/// Counters of the calls to the authorization service.
#[derive(Debug, Default)]
struct AclCallCounters {
    total: AtomicUsize,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
}

impl LoadPeers {
    /// Starts the peers on free ports.
    ///
    /// # Errors
    /// Returns an error if no port or no thread is available.
    pub(crate) fn start(ledger: &Arc<LoadLedger>, delay: Duration) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("peers").enable_all().build()?;
        let calls = Arc::new(AclCallCounters::default());
        let (acl, sink) = (listen()?, listen()?);
        let peers = Self {
            acl: acl.local_addr()?,
            sink: sink.local_addr()?,
            calls: Arc::clone(&calls),
            runtime: Some(runtime),
        };
        let ledger = Arc::clone(ledger);
        peers.serve(acl, move |request| {
            let calls = Arc::clone(&calls);
            async move { authorize(request, &calls, delay).await }
        })?;
        peers.serve(sink, move |request| {
            let ledger = Arc::clone(&ledger);
            async move { receive(request, &ledger).await }
        })?;
        Ok(peers)
    }

    /// Returns the base URL of the authorization service.
    pub(crate) fn acl_url(&self) -> String {
        format!("http://{}", self.acl)
    }

    /// Returns the callback URL without its last segment, the number of the request.
    pub(crate) fn callback_url(&self) -> String {
        format!("http://{}", self.sink)
    }

    /// Returns the number of calls, and the maximum number of concurrent calls.
    pub(crate) fn calls(&self) -> (usize, usize) {
        (self.calls.total.load(Ordering::Relaxed), self.calls.max_in_flight.load(Ordering::Relaxed))
    }

    fn serve<A, F>(&self, listener: TcpListener, answer: A) -> io::Result<()>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send,
    {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let _context = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(async move {
            loop {
                // Out of file descriptors: retried until some are free again.
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(request);
                        async { Ok::<_, Infallible>(answer.await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(())
    }
}

impl Drop for LoadPeers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Responds to each call with the next status, so that a request that is decided twice probably gets a contradictory
/// callback.
async fn authorize(
    request: Request<Incoming>,
    calls: &AclCallCounters,
    delay: Duration,
) -> Response<Full<Bytes>> {
    let in_flight = calls.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
    calls.max_in_flight.fetch_max(in_flight, Ordering::Relaxed);
    let number = calls.total.fetch_add(1, Ordering::Relaxed);
    let read = request.into_body().collect().await;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    calls.in_flight.fetch_sub(1, Ordering::Relaxed);
    let status = DecisionStatus::ALL
        .get(number % DecisionStatus::ALL.len())
        .copied()
        .unwrap_or(DecisionStatus::Unknown);
    let mut response = Response::new(Full::from(format!(r#"{{"status":"{status}"}}"#)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if read.is_err() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

async fn receive(request: Request<Incoming>, ledger: &LoadLedger) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Full::default());
    let number = head.uri.path().strip_prefix('/').and_then(|number| number.parse().ok());
    let (Some(number), Ok(body)) = (number, body.collect().await) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    ledger.called_back(
        number,
        LoadCallback {
            body: &body.to_bytes(),
            reason: head.headers.get("chargegate-decision-reason").map_or(b"", HeaderValue::as_bytes),
            decided_at: decided_at(&head.headers),
        },
    );
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn decided_at(headers: &HeaderMap) -> Option<u64> {
    headers.get("chargegate-decided-at")?.to_str().ok()?.parse().ok()
}
