//! The clients: requests at their planned times, over persistent connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout_at};
use tokio_util::task::TaskTracker;

use crate::ledger::{LoadLedger, SubmitOutcome};

/// Bound on the time from the planned time to the response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

type KeepAliveConnection = SendRequest<Full<Bytes>>;

/// A client with a limited number of connections; further requests wait for a free one.
#[derive(Debug)]
pub(crate) struct LoadClient {
    edge: SocketAddr,
    host: HeaderValue,
    slots: Semaphore,
    idle: Mutex<Vec<KeepAliveConnection>>,
}

/// The connection failed, or no response arrived.
struct NoResponse;

impl LoadClient {
    pub(crate) fn new(edge: SocketAddr, connections: usize) -> Self {
        Self {
            edge,
            host: HeaderValue::from_str(&edge.to_string()).unwrap_or(HeaderValue::from_static("edge")),
            slots: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
        }
    }

    /// Sends every request of the ledger at its planned time, independently of earlier ones, and waits for the responses.
    pub(crate) async fn send_all(self, ledger: &Arc<LoadLedger>, callback_url: &str) {
        let client = Arc::new(self);
        let in_flight = TaskTracker::new();
        for number in 0..ledger.requests() {
            let planned = ledger.planned(number);
            if planned > tokio::time::Instant::now() {
                sleep_until(planned).await;
            } else if number % 16 == 0 {
                // A sender that is behind schedule must still let responses be processed.
                tokio::task::yield_now().await;
            }
            let (client, ledger) = (Arc::clone(&client), Arc::clone(ledger));
            let body = LoadLedger::body(number, callback_url);
            in_flight.spawn(async move {
                let exchange = timeout_at(planned + RESPONSE_TIMEOUT, client.post(body.into())).await;
                ledger.answered(
                    number,
                    match exchange {
                        Ok(Ok(StatusCode::ACCEPTED)) => SubmitOutcome::Accepted,
                        Ok(Ok(_)) => SubmitOutcome::Refused,
                        Ok(Err(NoResponse)) | Err(_) => SubmitOutcome::Uncertain,
                    },
                );
            });
        }
        in_flight.close();
        in_flight.wait().await;
    }

    async fn post(&self, body: Bytes) -> Result<StatusCode, NoResponse> {
        let _slot = self.slots.acquire().await.map_err(|_| NoResponse)?;
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = Request::post("/v1/charging-sessions")
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| NoResponse)?;
        let response = connection.send_request(request).await.map_err(|_| NoResponse)?;
        let status = response.status();
        response.into_body().collect().await.map_err(|_| NoResponse)?;
        self.idle.lock().push(connection);
        Ok(status)
    }

    /// Returns an idle connection that is still open.
    async fn take_idle(&self) -> Option<KeepAliveConnection> {
        loop {
            let popped = self.idle.lock().pop();
            let mut connection = popped?;
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<KeepAliveConnection, NoResponse> {
        let stream = TcpStream::connect(self.edge).await.map_err(|_| NoResponse)?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| NoResponse)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
