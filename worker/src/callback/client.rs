//! One attempt to post a decision.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{
    CallbackHost, CallbackScheme, CallbackUrl, DestinationPolicy, ForbiddenDestination, ReceiverResponse,
    Traceparent, callback_body,
};
use chargegate_storage::Effects;
use chargegate_storage::store::{AttemptResult, CallbackJob, LookupFailure};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::connector::{ConnectError, ReceiverConnection, ReceiverConnector};
use super::exchange::{ExchangeError, ResponseHead, UnreadBody, exchange};
use super::idle::{IdleConnections, ReceiverAuthority};
use super::proxy::{CallbackProxy, ProxyFailure};
use super::receivers::{HostPermit, Refusal};
use super::resolver::{LookupError, ReceiverResolver};
use super::signer::CallbackSigner;
use super::tls::CallbackTls;

/// Most connections on which the rest of a response body is read so that they can be reused.
const MAX_DRAINS: usize = 128;
/// Wait before a callback whose attempt could not begin, for a reason other than its receiver.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// HTTP client for callbacks: no redirects, no forbidden destination, one deadline over connection and exchange.
#[derive(Clone)]
pub struct CallbackClient {
    resolver: Arc<dyn ReceiverResolver>,
    connector: ReceiverConnector,
    policy: Arc<DestinationPolicy>,
    idle: Arc<IdleConnections>,
    signer: Arc<CallbackSigner>,
    proxy: Option<Arc<CallbackProxy>>,
    drains: Arc<Semaphore>,
    effects: Effects,
    deadline: Duration,
}

/// Result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptResponse {
    pub(super) result: AttemptResult,
    /// The wait that the receiver asked for.
    pub(super) retry_after: Option<Duration>,
    /// Whether the response asks for credentials of a proxy.
    pub(super) asks_proxy_credentials: bool,
    /// The rule that forbids a blocked destination.
    pub(super) forbidden: Option<ForbiddenDestination>,
}

/// An attempt that did not begin, for a reason that is not the callback's; it may begin after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAttempted {
    pub(super) wait: Duration,
}

impl From<AttemptResult> for AttemptResponse {
    fn from(result: AttemptResult) -> Self {
        Self { result, retry_after: None, asks_proxy_credentials: false, forbidden: None }
    }
}

impl From<ForbiddenDestination> for AttemptResponse {
    fn from(forbidden: ForbiddenDestination) -> Self {
        Self { forbidden: Some(forbidden), ..AttemptResult::Blocked.into() }
    }
}

impl CallbackClient {
    /// Most idle connections by default.
    pub const IDLE_CONNECTIONS: usize = 256;

    /// Creates a client that calls only destinations that `policy` permits and spends at most `deadline` on one attempt,
    /// without the look-up of the name. It keeps up to `idle_connections`.
    pub fn new(
        policy: DestinationPolicy,
        resolver: Arc<dyn ReceiverResolver>,
        deadline: Duration,
        idle_connections: usize,
        tls: &CallbackTls,
        effects: Effects,
    ) -> Self {
        let policy = Arc::new(policy);
        Self {
            resolver,
            connector: ReceiverConnector::new(Arc::clone(&policy), TlsConnector::from(Arc::clone(&tls.0))),
            policy,
            idle: Arc::new(IdleConnections::new(idle_connections)),
            signer: Arc::default(),
            proxy: None,
            drains: Arc::new(Semaphore::new(MAX_DRAINS)),
            effects,
            deadline,
        }
    }

    /// Returns the client with signatures.
    #[must_use]
    pub fn with_signer(self, signer: CallbackSigner) -> Self {
        Self { signer: Arc::new(signer), ..self }
    }

    /// Returns the client with a proxy, through which all callbacks go.
    #[must_use]
    pub fn with_proxy(self, proxy: Option<CallbackProxy>) -> Self {
        Self { proxy: proxy.map(Arc::new), ..self }
    }

    /// Returns the longest duration of an attempt, without the look-up of the name.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Reads changed keys.
    pub(super) async fn refresh_keys(&self) {
        self.signer.refresh().await;
    }

    /// Closes the connections that are idle for too long.
    pub(super) fn close_expired(&self) {
        self.idle.close_expired();
    }

    /// Posts the decision of a job, for which `permit` was acquired, and records the health of its receiver.
    ///
    /// # Errors
    /// [`NotAttempted`].
    pub(super) async fn post(
        &self,
        job: &CallbackJob,
        traceparent: Option<Traceparent>,
        permit: &mut HostPermit,
    ) -> Result<AttemptResponse, NotAttempted> {
        // The message may have been enqueued under other rules, or by an edge with other settings.
        if let Err(forbidden) = self.policy.judge_url(&job.callback_url) {
            return Ok(forbidden.into());
        }
        let route = match &self.proxy {
            Some(proxy) => AttemptRoute::Proxied(proxy),
            None => match self.resolve(&job.callback_url).await {
                Ok(addresses) => AttemptRoute::Direct(addresses),
                Err(LookupError::Busy) => return Err(NotAttempted { wait: BUSY_WAIT }),
                Err(LookupError::Failed(failure)) => {
                    permit.record(ReceiverResponse::Missing);
                    return Ok(AttemptResult::Unresolved(failure).into());
                }
            },
        };
        permit.acquire_slot().map_err(|_| NotAttempted { wait: Duration::ZERO })?;
        let attempt = Attempt {
            client: self,
            permit,
            job,
            route,
            request: self.request(job, traceparent),
            end: Instant::now() + self.deadline,
        };
        let response = attempt.perform().await?;
        match response.result {
            AttemptResult::Answered(200..=299) => permit.record(ReceiverResponse::Accepted),
            // Both are about this callback: its receiver wants no more of it, or the policy forbids it.
            AttemptResult::Answered(410) | AttemptResult::Blocked => {}
            AttemptResult::Answered(_) => permit.record(ReceiverResponse::Refused),
            _ => permit.record(ReceiverResponse::Missing),
        }
        Ok(response)
    }
}

impl CallbackClient {
    /// Returns the addresses of the host of `url`.
    async fn resolve(&self, url: &CallbackUrl) -> Result<Vec<IpAddr>, LookupError> {
        let addresses = match url.host() {
            CallbackHost::Address(address) => vec![address],
            CallbackHost::Name(name) => self.resolver.resolve(name).await?,
        };
        if addresses.is_empty() { Err(LookupError::Failed(LookupFailure::NoAddress)) } else { Ok(addresses) }
    }

    /// Builds the request of a job.
    fn request(&self, job: &CallbackJob, traceparent: Option<Traceparent>) -> Vec<u8> {
        let body = callback_body(&job.station_id, &job.driver_token, job.decision.status);
        let url = &job.callback_url;
        let mut request = String::with_capacity(1024 + body.len());
        // The absolute form is for proxies (RFC 9112 section 3.2.2).
        let plain_proxy = self.proxy.as_ref().filter(|_| url.scheme() == CallbackScheme::Http);
        let (prefix, authority) = if plain_proxy.is_some() { ("http://", url.authority()) } else { ("", "") };
        // Writing to a string does not fail. Names have the form that old servers expect.
        let _ = write!(
            request,
            "POST {prefix}{authority}{} HTTP/1.1\r\n\
             Host: {}\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\
             Accept: */*\r\n\
             User-Agent: {}\r\n\
             Webhook-Id: {}\r\n\
             Chargegate-Decision-Reason: {}\r\n\
             Chargegate-Accepted-At: {}\r\n\
             Chargegate-Decided-At: {}\r\n",
            url.target(),
            url.authority(),
            body.len(),
            super::USER_AGENT,
            job.request_id,
            job.decision.reason.as_str(),
            job.accepted_at.0,
            job.decided_at.0,
        );
        if let Some(traceparent) = traceparent {
            let _ = write!(request, "Traceparent: {}\r\n", traceparent.as_str());
        }
        if let Some(proxy) = plain_proxy {
            request.push_str(proxy.authorization());
            request.push_str("Connection: close\r\n");
        }
        let now = self.effects.clock.now();
        request.push_str(&self.signer.lines(&job.request_id, now, &body));
        request.push_str("\r\n");
        request.push_str(&body);
        request.into_bytes()
    }
}

/// The way to a receiver.
enum AttemptRoute<'a> {
    /// To one of its addresses.
    Direct(Vec<IpAddr>),
    Proxied(&'a CallbackProxy),
}

/// One attempt, its look-up done.
struct Attempt<'a> {
    client: &'a CallbackClient,
    permit: &'a HostPermit,
    job: &'a CallbackJob,
    route: AttemptRoute<'a>,
    request: Vec<u8>,
    end: Instant,
}

impl Attempt<'_> {
    async fn perform(&self) -> Result<AttemptResponse, NotAttempted> {
        // A receiver may close a kept connection in the moment in which the next request is sent: then it has not seen
        // the request, or at least not answered it, and the request is sent once more on a new connection.
        if let Some(kept) = self.kept_connection()
            && let Some(response) = self.exchange(kept, true).await
        {
            return Ok(response);
        }
        let Ok(connected) = tokio::time::timeout_at(self.end, self.connect()).await else {
            return Ok(AttemptResult::TimedOut.into());
        };
        match connected {
            Ok(connection) => {
                let response = self.exchange(connection, false).await;
                let response = response.unwrap_or_else(|| AttemptResult::BadAnswer.into());
                self.judge_proxy(response)
            }
            Err(ConnectError::Blocked(forbidden)) => Ok(ForbiddenDestination::Address(forbidden).into()),
            Err(ConnectError::Unreachable(_)) => Ok(AttemptResult::Unreachable.into()),
            Err(ConnectError::Refused(Refusal::Unavailable(wait))) => Err(NotAttempted { wait }),
            Err(ConnectError::Refused(Refusal::Full)) => Err(NotAttempted { wait: BUSY_WAIT }),
            Err(ConnectError::Exhausted(error)) => {
                tracing::debug!(%error, "cannot open a connection for a callback; trying again later");
                Err(NotAttempted { wait: BUSY_WAIT })
            }
            Err(ConnectError::Proxy(failure)) => Err(self.proxy_failed(&failure)),
        }
    }

    async fn connect(&self) -> Result<ReceiverConnection, ConnectError> {
        let (connector, url) = (&self.client.connector, &self.job.callback_url);
        match &self.route {
            AttemptRoute::Direct(addresses) => connector.connect(url, addresses, self.permit).await,
            AttemptRoute::Proxied(proxy) => {
                connector.connect_through(proxy, url, self.client.effects.clock.now()).await
            }
        }
    }

    /// Returns the response, unless it is one of a proxy that does not serve this worker.
    fn judge_proxy(&self, response: AttemptResponse) -> Result<AttemptResponse, NotAttempted> {
        let AttemptRoute::Proxied(proxy) = &self.route else { return Ok(response) };
        let is_plain = self.job.callback_url.scheme() == CallbackScheme::Http;
        match response.result {
            AttemptResult::Answered(_) if is_plain && response.asks_proxy_credentials => {
                Err(self.proxy_failed(&ProxyFailure::Unauthenticated))
            }
            // A proxy answers by itself for a receiver that does not.
            AttemptResult::BadAnswer if is_plain => Err(self.proxy_failed(&ProxyFailure::Malformed)),
            AttemptResult::Answered(_) => {
                proxy.note_success();
                Ok(response)
            }
            _ => Ok(response),
        }
    }

    fn proxy_failed(&self, failure: &ProxyFailure) -> NotAttempted {
        if let AttemptRoute::Proxied(proxy) = &self.route {
            proxy.note_failure(failure);
        }
        NotAttempted { wait: BUSY_WAIT }
    }

    /// Takes an idle connection: through the proxy, or to an address to which the host still resolves.
    fn kept_connection(&self) -> Option<ReceiverConnection> {
        let (stream, address) = self.client.idle.take(&ReceiverAuthority::from(&self.job.callback_url))?;
        let permit = match &self.route {
            AttemptRoute::Proxied(_) => None,
            AttemptRoute::Direct(addresses) => {
                let permit = self.permit.try_address(address, false).ok();
                Some(permit.filter(|_| addresses.contains(&address))?)
            }
        };
        Some(ReceiverConnection { stream, address, permit })
    }

    /// Sends the request. Returns `None` if a kept connection turned out to be closed.
    async fn exchange(&self, connection: ReceiverConnection, is_kept: bool) -> Option<AttemptResponse> {
        let ReceiverConnection { mut stream, address, mut permit } = connection;
        let now = self.client.effects.clock.now();
        let exchanged = tokio::time::timeout_at(self.end, exchange(&mut stream, &self.request, now)).await;
        match exchanged {
            Ok(Ok((head, body))) => {
                if let Some(permit) = &mut permit {
                    permit.record_connected();
                }
                let ResponseHead { status, retry_after, asks_proxy_credentials, .. } = head;
                self.keep(stream, address, body);
                let result = AttemptResult::Answered(status);
                Some(AttemptResponse { retry_after, asks_proxy_credentials, ..result.into() })
            }
            Ok(Err(ExchangeError::NoResponse(_))) if is_kept => None,
            // The connection shows that the address is available; a host that does not answer may have others beside it.
            Ok(Err(_)) => Some(AttemptResult::BadAnswer.into()),
            Err(_) => Some(AttemptResult::TimedOut.into()),
        }
    }

    /// Reads the rest of the body beside the report of the attempt, so that a body without an end delays nothing.
    fn keep(&self, mut stream: super::connector::ReceiverStream, address: IpAddr, body: UnreadBody) {
        // The connection to a proxy for plain HTTP is not one to this receiver.
        let is_foreign = matches!(self.route, AttemptRoute::Proxied(_))
            && self.job.callback_url.scheme() == CallbackScheme::Http;
        if body.ends_connection() || is_foreign {
            return;
        }
        let receiver = ReceiverAuthority::from(&self.job.callback_url);
        let idle = Arc::clone(&self.client.idle);
        if body.is_read() {
            idle.put(receiver, stream, address);
        } else if let Ok(permit) = Arc::clone(&self.client.drains).try_acquire_owned() {
            tokio::spawn(async move {
                if body.drain(&mut stream).await {
                    idle.put(receiver, stream, address);
                }
                drop(permit);
            });
        }
    }
}
