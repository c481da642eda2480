//! The product's peers: an authorization service with a response time, and the receiver of callbacks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chargegate_core::DecisionStatus;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::ledger::{LoadCallback, LoadLedger};
use crate::peer_thread::{PeerThread, listen};

/// Both peers, on a separate thread that does not delay the clients. They stop when this is dropped.
#[derive(Debug)]
pub(crate) struct LoadPeers {
    acl: SocketAddr,
    calls: Arc<AclCallCounters>,
    receiver: CallbackReceiver,
}

/// The receiver of callbacks, on a thread of its own or with the authorization service. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct CallbackReceiver {
    thread: PeerThread,
    address: SocketAddr,
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
        let ledger = Arc::clone(ledger);
        let receiver = CallbackReceiver::start(move |number, callback| ledger.called_back(number, callback))?;
        let counters = Arc::new(AclCallCounters::default());
        let listener = listen()?;
        let peers = Self { acl: listener.local_addr()?, calls: Arc::clone(&counters), receiver };
        peers.receiver.thread.serve(listener, move |request| {
            let counters = Arc::clone(&counters);
            async move { authorize(request, &counters, delay).await }
        })?;
        Ok(peers)
    }

    /// Returns the base URL of the authorization service.
    pub(crate) fn acl_url(&self) -> String {
        format!("http://{}", self.acl)
    }

    /// Returns the callback URL without its last segment, the number of the request.
    pub(crate) fn callback_url(&self) -> String {
        self.receiver.callback_url()
    }

    /// Returns the number of calls, and the maximum number of concurrent calls.
    pub(crate) fn calls(&self) -> (usize, usize) {
        (self.calls.total.load(Ordering::Relaxed), self.calls.max_in_flight.load(Ordering::Relaxed))
    }
}

impl CallbackReceiver {
    /// Starts the receiver on a free port; `record` gets the number of each callback's request, and the callback.
    ///
    /// # Errors
    /// Returns an error if no port or no thread is available.
    pub(crate) fn start(record: impl Fn(u64, LoadCallback<'_>) + Send + Sync + 'static) -> io::Result<Self> {
        let (thread, listener, record) = (PeerThread::start()?, listen()?, Arc::new(record));
        let address = listener.local_addr()?;
        thread.serve(listener, move |request| {
            let record = Arc::clone(&record);
            async move { receive(request, &*record).await }
        })?;
        Ok(Self { thread, address })
    }

    /// Returns the callback URL without its last segment, the number of the request.
    pub(crate) fn callback_url(&self) -> String {
        format!("http://{}", self.address)
    }
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

async fn receive(
    request: Request<Incoming>,
    record: &(impl Fn(u64, LoadCallback<'_>) + Sync),
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Full::default());
    let number = head.uri.path().strip_prefix('/').and_then(|number| number.parse().ok());
    let (Some(number), Ok(body)) = (number, body.collect().await) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    record(
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
