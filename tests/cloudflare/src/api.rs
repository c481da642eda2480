//! The part of Cloudflare's public API that concerns queues.

mod describe;
mod messages;

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Value, json};

use crate::calls::EmulatorEndpoint;
use crate::clock::millis;
use crate::queue::{EmulatedQueue, QueueBacklog};
use crate::refusal::{CallRefusal, json_response};
use crate::service::{CallOutcome, DeliveryMode};
use crate::settings::TokenPermission;
use crate::state::EmulatorState;

/// Path prefix of the API; the base URL of clients ends in it.
pub(crate) const BASE: &str = "/client/v4";

/// A call, read from its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiCall {
    pub(crate) endpoint: EmulatorEndpoint,
    account: String,
    queue: String,
}

/// A request, its arrival time, and the delivery mode that a fault demands.
pub(crate) struct ApiRequest<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    pub(crate) handing: DeliveryMode,
    pub(crate) now: Duration,
}

/// Result of an endpoint, and the number of messages that it moved.
type ApiResult = Result<(Value, usize), CallRefusal>;

/// Returns the endpoint of a path.
///
/// # Errors
/// The path is unknown, or its endpoint has another method.
pub(crate) fn route(method: &Method, path: &str) -> Result<ApiCall, CallRefusal> {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["accounts", account, "queues", rest @ ..] = segments.as_slice() else {
        return Err(CallRefusal::NoRoute);
    };
    let (endpoint, expected) = match rest {
        [] => (EmulatorEndpoint::Queues, Method::GET),
        [_] => (EmulatorEndpoint::Queue, Method::GET),
        [_, "consumers"] => (EmulatorEndpoint::Consumers, Method::GET),
        [_, "metrics"] => (EmulatorEndpoint::Metrics, Method::GET),
        [_, "messages"] => (EmulatorEndpoint::Send, Method::POST),
        [_, "messages", "batch"] => (EmulatorEndpoint::SendBatch, Method::POST),
        [_, "messages", "pull"] => (EmulatorEndpoint::Pull, Method::POST),
        [_, "messages", "ack"] => (EmulatorEndpoint::Ack, Method::POST),
        _ => return Err(CallRefusal::NoRoute),
    };
    if *method != expected {
        return Err(CallRefusal::Method);
    }
    let queue = rest.first().copied().unwrap_or_default();
    Ok(ApiCall { endpoint, account: (*account).to_owned(), queue: queue.to_owned() })
}

/// Answers a call.
///
/// # Errors
/// The call is refused.
pub(crate) fn answer(
    state: &mut EmulatorState,
    call: &ApiCall,
    asked: &ApiRequest<'_>,
) -> Result<CallOutcome, CallRefusal> {
    authorize(state, call, asked)?;
    let (result, messages) = work(state, call, asked)?;
    let body = json!({ "success": true, "errors": [], "messages": [], "result": result });
    Ok(CallOutcome { messages, response: json_response(StatusCode::OK, &body) })
}

/// Parses a JSON body; an empty body counts as an empty object.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallRefusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => CallRefusal::BodyInvalid,
        Category::Io | Category::Syntax | Category::Eof => CallRefusal::BodyMalformed,
    })
}

fn authorize(state: &mut EmulatorState, call: &ApiCall, asked: &ApiRequest<'_>) -> Result<(), CallRefusal> {
    let header = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(CallRefusal::NoToken)?;
    let known = state.tokens.iter().find(|known| known.token == token).ok_or(CallRefusal::UnknownToken)?;
    let needed = match call.endpoint {
        EmulatorEndpoint::Queues
        | EmulatorEndpoint::Queue
        | EmulatorEndpoint::Consumers
        | EmulatorEndpoint::Metrics => TokenPermission::Read,
        EmulatorEndpoint::Pull => TokenPermission::Pull,
        _ => TokenPermission::Edit,
    };
    if known.access < needed || known.account != call.account {
        return Err(CallRefusal::Forbidden);
    }
    match call.endpoint {
        // Documented: calls of pull consumers are not subject to the API's rate limit.
        EmulatorEndpoint::Pull | EmulatorEndpoint::Ack => Ok(()),
        _ => state.count_call(token, asked.now),
    }
}

fn work(state: &mut EmulatorState, call: &ApiCall, asked: &ApiRequest<'_>) -> ApiResult {
    match call.endpoint {
        EmulatorEndpoint::Queues => Ok((describe::queues(state, &call.account), 0)),
        EmulatorEndpoint::Queue => Ok((describe::queue(find(state, call, CallRefusal::NoSuchQueue)?), 0)),
        EmulatorEndpoint::Consumers => {
            Ok((describe::consumers(find(state, call, CallRefusal::NoSuchQueue)?), 0))
        }
        EmulatorEndpoint::Metrics => Ok((metrics(find(state, call, CallRefusal::NoSuchQueue)?.backlog()), 0)),
        endpoint => {
            find(state, call, CallRefusal::QueueNotFound)?;
            match endpoint {
                EmulatorEndpoint::Send => messages::send(state, &call.queue, asked),
                EmulatorEndpoint::SendBatch => messages::send_batch(state, &call.queue, asked),
                EmulatorEndpoint::Pull => messages::pull(state, &call.queue, asked),
                EmulatorEndpoint::Ack => messages::acknowledge(state, &call.queue, asked),
                _ => Err(CallRefusal::NoRoute),
            }
        }
    }
}

fn find<'a>(
    state: &'a mut EmulatorState,
    call: &ApiCall,
    missing: CallRefusal,
) -> Result<&'a mut EmulatedQueue, CallRefusal> {
    if !call.queue.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(CallRefusal::QueueIdMalformed);
    }
    state.queue(&call.queue).filter(|queue| queue.settings().account == call.account).ok_or(missing)
}

fn metrics(backlog: QueueBacklog) -> Value {
    json!({
        "backlog_count": backlog.count,
        "backlog_bytes": backlog.bytes,
        "oldest_message_timestamp_ms": millis(backlog.oldest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &Method, path: &str, expected: Result<EmulatorEndpoint, CallRefusal>) {
        assert_eq!(route(method, path).map(|call| call.endpoint), expected, "{method} {path}");
    }

    #[test]
    fn each_endpoint_has_one_path_and_one_method() {
        let (get, post) = (Method::GET, Method::POST);
        check(&get, "/client/v4/accounts/a/queues", Ok(EmulatorEndpoint::Queues));
        check(&get, "/accounts/a/queues/q", Ok(EmulatorEndpoint::Queue));
        check(&get, "/accounts/a/queues/q/consumers", Ok(EmulatorEndpoint::Consumers));
        check(&get, "/accounts/a/queues/q/metrics", Ok(EmulatorEndpoint::Metrics));
        check(&post, "/accounts/a/queues/q/messages", Ok(EmulatorEndpoint::Send));
        check(&post, "/accounts/a/queues/q/messages/batch", Ok(EmulatorEndpoint::SendBatch));
        check(&post, "/accounts/a/queues/q/messages/pull", Ok(EmulatorEndpoint::Pull));
        check(&post, "/accounts/a/queues/q/messages/ack", Ok(EmulatorEndpoint::Ack));
        check(&get, "/accounts/a/queues/q/messages/ack", Err(CallRefusal::Method));
        check(&get, "/accounts/a/queues/q/other", Err(CallRefusal::NoRoute));
        check(&get, "/accounts/a/workers", Err(CallRefusal::NoRoute));
        check(&get, "/", Err(CallRefusal::NoRoute));
    }
}
