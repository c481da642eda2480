//! Processing of one request: counting, faults, and the response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};
use parking_lot::{Mutex, MutexGuard};

use crate::api::{self, ApiCall, ApiRequest};
use crate::broker;
use crate::calls::EmulatorEndpoint;
use crate::clock::EmulatorClock;
use crate::fault::{EmulatorFault, GarbageBody};
use crate::refusal::CallRefusal;
use crate::state::EmulatorState;

/// Maximum request size: a full batch in base64 or with every character escaped.
const REQUEST_BYTES: usize = 2 * 1024 * 1024;

/// State shared by all connections.
#[derive(Debug)]
pub(crate) struct SharedEmulator {
    pub(crate) clock: EmulatorClock,
    state: Mutex<EmulatorState>,
}

impl SharedEmulator {
    pub(crate) fn new(state: EmulatorState) -> Self {
        Self { clock: EmulatorClock::default(), state: Mutex::new(state) }
    }

    /// Locks the state and advances it to the current time.
    pub(crate) fn state(&self) -> (MutexGuard<'_, EmulatorState>, Duration) {
        let mut state = self.state.lock();
        let now = self.clock.now();
        state.advance(now);
        (state, now)
    }
}

/// A response, and the number of messages that were accepted, delivered, acknowledged or retried.
pub(crate) struct CallOutcome {
    pub(crate) messages: usize,
    pub(crate) response: Response<Bytes>,
}

/// Delivery mode of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryMode {
    /// Leased, with the correct lease id.
    True,
    /// Not leased.
    Forgotten,
    /// Leased, with wrong lease ids.
    WrongLeases,
}

/// The connection ends without a response.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
pub(crate) struct ConnectionCut;

/// Target of a call in either protocol.
enum CallTarget {
    Broker(EmulatorEndpoint),
    Api(ApiCall),
}

/// Answers a request.
///
/// # Errors
/// The connection is to be cut.
pub(crate) async fn serve(
    shared: Arc<SharedEmulator>,
    request: Request<Incoming>,
) -> Result<Response<SpoiledBody>, ConnectionCut> {
    let (head, body) = request.into_parts();
    let target = match route(&head) {
        Ok(target) => target,
        Err(refusal) => return Ok(refusal.to_api().map(SpoiledBody::whole)),
    };
    let endpoint = target.endpoint();
    let body = match Limited::new(body, REQUEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(target.too_large()),
        Err(_) => return Err(ConnectionCut),
    };
    let fault = {
        let (mut state, _) = shared.state();
        state.calls.came(endpoint);
        state.faults.next(endpoint)
    };
    match fault {
        Some(EmulatorFault::Throttled(wait)) => {
            return Ok(target.refuse(CallRefusal::Overloaded(wait)).map(SpoiledBody::whole));
        }
        Some(EmulatorFault::Internal) => {
            return Ok(target.refuse(CallRefusal::Internal).map(SpoiledBody::whole));
        }
        Some(EmulatorFault::Forbidden) => {
            return Ok(target.refuse(CallRefusal::Forbidden).map(SpoiledBody::whole));
        }
        Some(EmulatorFault::CutBefore) => return Err(ConnectionCut),
        Some(EmulatorFault::Hang) => std::future::pending().await,
        Some(EmulatorFault::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let handing = match fault {
        Some(EmulatorFault::Duplicate) => DeliveryMode::Forgotten,
        Some(EmulatorFault::WrongLeases) => DeliveryMode::WrongLeases,
        _ => DeliveryMode::True,
    };
    let (response, fault) = work(&shared, &target, &head.headers, body, handing, fault);
    match fault {
        Some(EmulatorFault::CutAfter) => Err(ConnectionCut),
        Some(EmulatorFault::CutWithin) => Ok(cut_within(response)),
        Some(EmulatorFault::Garbage(garbage)) => Ok(spoil(response, garbage)),
        _ => Ok(response.map(SpoiledBody::whole)),
    }
}

/// Processes the call and returns the fault that remains for the response.
fn work(
    shared: &SharedEmulator,
    target: &CallTarget,
    headers: &HeaderMap,
    body: Result<Bytes, CallRefusal>,
    handing: DeliveryMode,
    fault: Option<EmulatorFault>,
) -> (Response<Bytes>, Option<EmulatorFault>) {
    let endpoint = target.endpoint();
    let (mut state, now) = shared.state();
    let answer = body.and_then(|body| match target {
        CallTarget::Broker(EmulatorEndpoint::BrokerBatch) => broker::batch(&mut state, headers, &body, now),
        CallTarget::Broker(EmulatorEndpoint::BrokerMetrics) => broker::metrics(&mut state, headers),
        CallTarget::Broker(_) => broker::message(&mut state, headers, body, now),
        CallTarget::Api(call) => {
            api::answer(&mut state, call, &ApiRequest { headers, body: &body, handing, now })
        }
    });
    let (messages, response) = match answer {
        Ok(CallOutcome { messages, response }) => (messages, response),
        Err(refusal) => (0, target.refuse(refusal)),
    };
    state.calls.moved(endpoint, messages);
    let early =
        fault.filter(|fault| endpoint == EmulatorEndpoint::Pull && messages == 0 && fault.wants_messages());
    if let Some(fault) = early {
        state.faults.put_back(endpoint, fault);
        return (response, None);
    }
    (response, fault)
}

fn route(head: &request::Parts) -> Result<CallTarget, CallRefusal> {
    let endpoint = match (head.uri.path(), &head.method) {
        ("/message", &Method::POST) => EmulatorEndpoint::BrokerMessage,
        ("/batch", &Method::POST) => EmulatorEndpoint::BrokerBatch,
        ("/metrics", &Method::GET) => EmulatorEndpoint::BrokerMetrics,
        (path, method) => return api::route(method, path).map(CallTarget::Api),
    };
    Ok(CallTarget::Broker(endpoint))
}

impl CallTarget {
    fn endpoint(&self) -> EmulatorEndpoint {
        match self {
            Self::Broker(endpoint) => *endpoint,
            Self::Api(call) => call.endpoint,
        }
    }

    fn refuse(&self, refusal: CallRefusal) -> Response<Bytes> {
        match self {
            Self::Broker(_) => refusal.to_broker(),
            Self::Api(_) => refusal.to_api(),
        }
    }

    fn too_large(&self) -> CallRefusal {
        match self.endpoint() {
            EmulatorEndpoint::BrokerMessage | EmulatorEndpoint::Send => CallRefusal::MessageSize,
            _ => CallRefusal::BatchSize,
        }
    }
}

fn cut_within(response: Response<Bytes>) -> Response<SpoiledBody> {
    let length = response.body().len();
    let mut response = response.map(|body| SpoiledBody { next: half(body), then: BodyEnd::Cut });
    // Without a length the end of the connection would count as the end of the body.
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn spoil(response: Response<Bytes>, garbage: GarbageBody) -> Response<SpoiledBody> {
    let mut spoiled = match garbage {
        GarbageBody::NotJson => {
            SpoiledBody::whole(Bytes::from_static(b"<html><h1>Welcome to the proxy</h1></html>"))
        }
        GarbageBody::OtherShape => {
            SpoiledBody::whole(Bytes::from_static(br#"{"result":{"messages":"none"},"success":7}"#))
        }
        GarbageBody::Half => SpoiledBody::whole(half(response.into_body())),
        GarbageBody::Endless => SpoiledBody { next: Bytes::new(), then: BodyEnd::Spaces },
    };
    let mut response = Response::new(std::mem::take(&mut spoiled));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn half(mut body: Bytes) -> Bytes {
    body.split_to(body.len() / 2)
}

/// A response body that may be cut or endless.
#[derive(Debug, Default)]
pub(crate) struct SpoiledBody {
    next: Bytes,
    then: BodyEnd,
}

#[derive(Clone, Copy, Debug, Default)]
enum BodyEnd {
    #[default]
    End,
    Cut,
    Spaces,
}

impl SpoiledBody {
    fn whole(body: Bytes) -> Self {
        Self { next: body, then: BodyEnd::End }
    }
}

impl Body for SpoiledBody {
    type Data = Bytes;
    type Error = ConnectionCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionCut>>> {
        let next = std::mem::take(&mut self.next);
        if !next.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        Poll::Ready(match self.then {
            BodyEnd::End => None,
            BodyEnd::Cut => Some(Err(ConnectionCut)),
            BodyEnd::Spaces => Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_empty() && matches!(self.then, BodyEnd::End)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self.then {
            BodyEnd::End => {
                hyper::body::SizeHint::with_exact(u64::try_from(self.next.len()).unwrap_or(u64::MAX))
            }
            BodyEnd::Cut | BodyEnd::Spaces => hyper::body::SizeHint::default(),
        }
    }
}
