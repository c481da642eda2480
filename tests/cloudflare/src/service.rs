//! One request: counted, spoiled where a fault says so, answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};

use crate::api::{self, Asked, Call};
use crate::broker;
use crate::calls::Endpoint;
use crate::clock::Clock;
use crate::fault::{Fault, Garbage};
use crate::refusal::Refusal;
use crate::state::State;

/// Room for a full batch, in base64 or with every character escaped.
const REQUEST_BYTES: usize = 2 * 1024 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { clock: Clock::default(), state: Mutex::new(state) }
    }

    /// The state, with all done that is due by now.
    pub(crate) fn state(&self) -> (MutexGuard<'_, State>, Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        state.advance(now);
        (state, now)
    }
}

/// A response, and how many messages were taken, handed out or settled.
pub(crate) struct Moved {
    pub(crate) messages: usize,
    pub(crate) response: Response<Bytes>,
}

/// How a pull hands messages out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handing {
    /// Leased, with the lease's id.
    True,
    /// Not leased.
    Forgotten,
    /// Leased, with ids of no lease.
    WrongLeases,
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
pub(crate) struct Cut;

/// What is called, of either protocol.
enum Target {
    Broker(Endpoint),
    Api(Call),
}

/// Answers a request.
///
/// # Errors
/// The connection is to be cut.
pub(crate) async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Spoiled>, Cut> {
    let (head, body) = request.into_parts();
    let target = match route(&head) {
        Ok(target) => target,
        Err(refusal) => return Ok(refusal.to_api().map(Spoiled::whole)),
    };
    let endpoint = target.endpoint();
    let body = match Limited::new(body, REQUEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(target.too_large()),
        Err(_) => return Err(Cut),
    };
    let fault = {
        let (mut state, _) = shared.state();
        state.calls.came(endpoint);
        state.faults.next(endpoint)
    };
    match fault {
        Some(Fault::Throttled(wait)) => {
            return Ok(target.refuse(Refusal::Overloaded(wait)).map(Spoiled::whole));
        }
        Some(Fault::Internal) => return Ok(target.refuse(Refusal::Internal).map(Spoiled::whole)),
        Some(Fault::Forbidden) => return Ok(target.refuse(Refusal::Forbidden).map(Spoiled::whole)),
        Some(Fault::CutBefore) => return Err(Cut),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let handing = match fault {
        Some(Fault::Duplicate) => Handing::Forgotten,
        Some(Fault::WrongLeases) => Handing::WrongLeases,
        _ => Handing::True,
    };
    let (response, fault) = work(&shared, &target, &head.headers, body, handing, fault);
    match fault {
        Some(Fault::CutAfter) => Err(Cut),
        Some(Fault::CutWithin) => Ok(cut_within(response)),
        Some(Fault::Garbage(garbage)) => Ok(spoil(response, garbage)),
        _ => Ok(response.map(Spoiled::whole)),
    }
}

/// Does what is asked, and says which fault is left for the answer.
fn work(
    shared: &Shared,
    target: &Target,
    headers: &HeaderMap,
    body: Result<Bytes, Refusal>,
    handing: Handing,
    fault: Option<Fault>,
) -> (Response<Bytes>, Option<Fault>) {
    let endpoint = target.endpoint();
    let (mut state, now) = shared.state();
    let answer = body.and_then(|body| match target {
        Target::Broker(Endpoint::BrokerBatch) => broker::batch(&mut state, headers, &body, now),
        Target::Broker(Endpoint::BrokerMetrics) => broker::metrics(&mut state, headers),
        Target::Broker(_) => broker::message(&mut state, headers, body, now),
        Target::Api(call) => api::answer(&mut state, call, &Asked { headers, body: &body, handing, now }),
    });
    let (messages, response) = match answer {
        Ok(Moved { messages, response }) => (messages, response),
        Err(refusal) => (0, target.refuse(refusal)),
    };
    state.calls.moved(endpoint, messages);
    let early = fault.filter(|fault| endpoint == Endpoint::Pull && messages == 0 && fault.wants_messages());
    if let Some(fault) = early {
        state.faults.put_back(endpoint, fault);
        return (response, None);
    }
    (response, fault)
}

fn route(head: &request::Parts) -> Result<Target, Refusal> {
    let endpoint = match (head.uri.path(), &head.method) {
        ("/message", &Method::POST) => Endpoint::BrokerMessage,
        ("/batch", &Method::POST) => Endpoint::BrokerBatch,
        ("/metrics", &Method::GET) => Endpoint::BrokerMetrics,
        (path, method) => return api::route(method, path).map(Target::Api),
    };
    Ok(Target::Broker(endpoint))
}

impl Target {
    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Broker(endpoint) => *endpoint,
            Self::Api(call) => call.endpoint,
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        match self {
            Self::Broker(_) => refusal.to_broker(),
            Self::Api(_) => refusal.to_api(),
        }
    }

    fn too_large(&self) -> Refusal {
        match self.endpoint() {
            Endpoint::BrokerMessage | Endpoint::Send => Refusal::MessageSize,
            _ => Refusal::BatchSize,
        }
    }
}

fn cut_within(response: Response<Bytes>) -> Response<Spoiled> {
    let length = response.body().len();
    let mut response = response.map(|body| Spoiled { next: half(body), then: Then::Cut });
    // Said, or the end of the connection would be taken for the end of the body.
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn spoil(response: Response<Bytes>, garbage: Garbage) -> Response<Spoiled> {
    let mut spoiled = match garbage {
        Garbage::NotJson => Spoiled::whole(Bytes::from_static(b"<html><h1>Welcome to the proxy</h1></html>")),
        Garbage::OtherShape => {
            Spoiled::whole(Bytes::from_static(br#"{"result":{"messages":"none"},"success":7}"#))
        }
        Garbage::Half => Spoiled::whole(half(response.into_body())),
        Garbage::Endless => Spoiled { next: Bytes::new(), then: Then::Spaces },
    };
    let mut response = Response::new(std::mem::take(&mut spoiled));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn half(mut body: Bytes) -> Bytes {
    body.split_to(body.len() / 2)
}

/// A response's body, whole or not.
#[derive(Debug, Default)]
pub(crate) struct Spoiled {
    next: Bytes,
    then: Then,
}

#[derive(Clone, Copy, Debug, Default)]
enum Then {
    #[default]
    End,
    Cut,
    Spaces,
}

impl Spoiled {
    fn whole(body: Bytes) -> Self {
        Self { next: body, then: Then::End }
    }
}

impl Body for Spoiled {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let next = std::mem::take(&mut self.next);
        if !next.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        Poll::Ready(match self.then {
            Then::End => None,
            Then::Cut => Some(Err(Cut)),
            Then::Spaces => Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_empty() && matches!(self.then, Then::End)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self.then {
            Then::End => {
                hyper::body::SizeHint::with_exact(u64::try_from(self.next.len()).unwrap_or(u64::MAX))
            }
            Then::Cut | Then::Spaces => hyper::body::SizeHint::default(),
        }
    }
}
