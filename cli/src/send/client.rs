//! The HTTP client: few connections, kept open, with a distinct error for each way to lose a response.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::plan::SendPlan;
use super::target::EdgeTarget;

/// Size limit of a response body.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

type EdgeConnection = SendRequest<Full<Bytes>>;

/// A client with a limited number of connections; further requests wait for one.
pub(super) struct EdgeClient {
    target: EdgeTarget,
    slots: Semaphore,
    idle: Mutex<Vec<EdgeConnection>>,
}

/// A complete response.
#[derive(Debug)]
pub(super) struct SubmissionResponse {
    pub(super) status: StatusCode,
    pub(super) request_id: Option<Box<str>>,
    pub(super) body: Bytes,
}

/// The reason for a missing or incomplete response. The request may or may not have been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ResponseLoss {
    /// The connection failed.
    Connect,
    /// The time limit expired.
    TimedOut,
    /// The connection closed before the end of the response.
    Cut,
    /// The run was stopped first.
    Interrupted,
}

impl ResponseLoss {
    /// Returns a short description.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::TimedOut => "timed out",
            Self::Cut => "cut",
            Self::Interrupted => "interrupted",
        }
    }
}

impl EdgeClient {
    pub(super) fn new(plan: &SendPlan) -> Self {
        Self {
            target: plan.target.clone(),
            slots: Semaphore::new(plan.connections.get().min(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
        }
    }

    /// Posts `body` and reads the complete response.
    ///
    /// # Errors
    /// The response is not complete by `deadline`, or is lost.
    pub(super) async fn post(
        &self,
        body: Bytes,
        deadline: Instant,
    ) -> Result<SubmissionResponse, ResponseLoss> {
        timeout_at(deadline, self.exchange(body)).await.unwrap_or(Err(ResponseLoss::TimedOut))
    }

    async fn exchange(&self, body: Bytes) -> Result<SubmissionResponse, ResponseLoss> {
        let _slot = self.slots.acquire().await.map_err(|_| ResponseLoss::Interrupted)?;
        let mut request = Request::post(&self.target.path)
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| ResponseLoss::Connect)?;
        while let Some(connection) = self.take_idle().await {
            match self.exchange_over(connection, request).await {
                ExchangeOutcome::Finished(outcome) => return outcome,
                // The peer had closed the idle connection before any part of the request was written.
                ExchangeOutcome::NotSent(unsent) => request = unsent,
            }
        }
        match self.exchange_over(self.connect().await?, request).await {
            ExchangeOutcome::Finished(outcome) => outcome,
            ExchangeOutcome::NotSent(_) => Err(ResponseLoss::Connect),
        }
    }

    async fn exchange_over(
        &self,
        mut connection: EdgeConnection,
        request: Request<Full<Bytes>>,
    ) -> ExchangeOutcome {
        let response = match connection.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                return error
                    .take_message()
                    .map_or(ExchangeOutcome::Finished(Err(ResponseLoss::Cut)), ExchangeOutcome::NotSent);
            }
        };
        let (parts, body) = response.into_parts();
        let Ok(body) = Limited::new(body, MAX_RESPONSE_BYTES).collect().await else {
            return ExchangeOutcome::Finished(Err(ResponseLoss::Cut));
        };
        self.idle.lock().push(connection);
        let request_id = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(Box::from);
        ExchangeOutcome::Finished(Ok(SubmissionResponse {
            status: parts.status,
            request_id,
            body: body.to_bytes(),
        }))
    }

    /// Removes and returns an idle connection that is still open.
    async fn take_idle(&self) -> Option<EdgeConnection> {
        loop {
            let popped = self.idle.lock().pop();
            let mut connection = popped?;
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<EdgeConnection, ResponseLoss> {
        let address = (self.target.host.as_str(), self.target.port);
        let stream = TcpStream::connect(address).await.map_err(|_| ResponseLoss::Connect)?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| ResponseLoss::Connect)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Outcome of one exchange over one connection.
enum ExchangeOutcome {
    Finished(Result<SubmissionResponse, ResponseLoss>),
    NotSent(Request<Full<Bytes>>),
}
