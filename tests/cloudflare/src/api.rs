//! The public API of Cloudflare, as far as queues go.

mod describe;
mod messages;

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Value, json};

use crate::calls::Endpoint;
use crate::clock::millis;
use crate::queue::{Backlog, Queue};
use crate::refusal::{Refusal, json_response};
use crate::service::{Handing, Moved};
use crate::settings::Access;
use crate::state::State;

/// Where the API begins; clients are given a base URL that ends in it.
pub(crate) const BASE: &str = "/client/v4";

/// A call, read from its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    account: String,
    queue: String,
}

/// A request as it came.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    pub(crate) handing: Handing,
    pub(crate) now: Duration,
}

/// What an endpoint answers, and how many messages it moved.
type Answer = Result<(Value, usize), Refusal>;

/// Finds the endpoint.
///
/// # Errors
/// There is none, or it has another method.
pub(crate) fn route(method: &Method, path: &str) -> Result<Call, Refusal> {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["accounts", account, "queues", rest @ ..] = segments.as_slice() else {
        return Err(Refusal::NoRoute);
    };
    let (endpoint, expected) = match rest {
        [] => (Endpoint::Queues, Method::GET),
        [_] => (Endpoint::Queue, Method::GET),
        [_, "consumers"] => (Endpoint::Consumers, Method::GET),
        [_, "metrics"] => (Endpoint::Metrics, Method::GET),
        [_, "messages"] => (Endpoint::Send, Method::POST),
        [_, "messages", "batch"] => (Endpoint::SendBatch, Method::POST),
        [_, "messages", "pull"] => (Endpoint::Pull, Method::POST),
        [_, "messages", "ack"] => (Endpoint::Ack, Method::POST),
        _ => return Err(Refusal::NoRoute),
    };
    if *method != expected {
        return Err(Refusal::Method);
    }
    let queue = rest.first().copied().unwrap_or_default();
    Ok(Call { endpoint, account: (*account).to_owned(), queue: queue.to_owned() })
}

/// Answers a call.
///
/// # Errors
/// It is refused.
pub(crate) fn answer(state: &mut State, call: &Call, asked: &Asked<'_>) -> Result<Moved, Refusal> {
    authorize(state, call, asked)?;
    let (result, messages) = work(state, call, asked)?;
    let body = json!({ "success": true, "errors": [], "messages": [], "result": result });
    Ok(Moved { messages, response: json_response(StatusCode::OK, &body) })
}

/// Reads JSON of one shape. No body at all is an empty object.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Refusal::BodyInvalid,
        Category::Io | Category::Syntax | Category::Eof => Refusal::BodyMalformed,
    })
}

fn authorize(state: &mut State, call: &Call, asked: &Asked<'_>) -> Result<(), Refusal> {
    let header = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Refusal::NoToken)?;
    let known = state.tokens.iter().find(|known| known.token == token).ok_or(Refusal::UnknownToken)?;
    let needed = match call.endpoint {
        Endpoint::Queues | Endpoint::Queue | Endpoint::Consumers | Endpoint::Metrics => Access::Read,
        Endpoint::Pull => Access::Pull,
        _ => Access::Edit,
    };
    if known.access < needed || known.account != call.account {
        return Err(Refusal::Forbidden);
    }
    match call.endpoint {
        // Documented: what pull consumers do is not subject to the API's rate limit.
        Endpoint::Pull | Endpoint::Ack => Ok(()),
        _ => state.count_call(token, asked.now),
    }
}

fn work(state: &mut State, call: &Call, asked: &Asked<'_>) -> Answer {
    match call.endpoint {
        Endpoint::Queues => Ok((describe::queues(state, &call.account), 0)),
        Endpoint::Queue => Ok((describe::queue(find(state, call, Refusal::NoSuchQueue)?), 0)),
        Endpoint::Consumers => Ok((describe::consumers(find(state, call, Refusal::NoSuchQueue)?), 0)),
        Endpoint::Metrics => Ok((metrics(find(state, call, Refusal::NoSuchQueue)?.backlog()), 0)),
        endpoint => {
            find(state, call, Refusal::QueueNotFound)?;
            match endpoint {
                Endpoint::Send => messages::send(state, &call.queue, asked),
                Endpoint::SendBatch => messages::send_batch(state, &call.queue, asked),
                Endpoint::Pull => messages::pull(state, &call.queue, asked),
                Endpoint::Ack => messages::settle(state, &call.queue, asked),
                _ => Err(Refusal::NoRoute),
            }
        }
    }
}

fn find<'a>(state: &'a mut State, call: &Call, missing: Refusal) -> Result<&'a mut Queue, Refusal> {
    if !call.queue.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Refusal::QueueIdMalformed);
    }
    state.queue(&call.queue).filter(|queue| queue.settings().account == call.account).ok_or(missing)
}

fn metrics(backlog: Backlog) -> Value {
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
    fn check(method: &Method, path: &str, expected: Result<Endpoint, Refusal>) {
        assert_eq!(route(method, path).map(|call| call.endpoint), expected, "{method} {path}");
    }

    #[test]
    fn each_endpoint_has_one_path_and_one_method() {
        let (get, post) = (Method::GET, Method::POST);
        check(&get, "/client/v4/accounts/a/queues", Ok(Endpoint::Queues));
        check(&get, "/accounts/a/queues/q", Ok(Endpoint::Queue));
        check(&get, "/accounts/a/queues/q/consumers", Ok(Endpoint::Consumers));
        check(&get, "/accounts/a/queues/q/metrics", Ok(Endpoint::Metrics));
        check(&post, "/accounts/a/queues/q/messages", Ok(Endpoint::Send));
        check(&post, "/accounts/a/queues/q/messages/batch", Ok(Endpoint::SendBatch));
        check(&post, "/accounts/a/queues/q/messages/pull", Ok(Endpoint::Pull));
        check(&post, "/accounts/a/queues/q/messages/ack", Ok(Endpoint::Ack));
        check(&get, "/accounts/a/queues/q/messages/ack", Err(Refusal::Method));
        check(&get, "/accounts/a/queues/q/other", Err(Refusal::NoRoute));
        check(&get, "/accounts/a/workers", Err(Refusal::NoRoute));
        check(&get, "/", Err(Refusal::NoRoute));
    }
}
