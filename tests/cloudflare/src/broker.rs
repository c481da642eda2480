//! The protocol that the Workers runtime speaks for a queue binding: workerd sends it to the service that the binding
//! names. [`QUEUE_HEADER`] says which queue, since the protocol does not.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::millis;
use crate::message::{ContentType, Message};
use crate::queue::Backlog;
use crate::refusal::{Refusal, json_response};
use crate::service::Moved;
use crate::state::{Sent, State};

/// The request header that names a queue by its id or name: have the runtime inject it.
pub const QUEUE_HEADER: &str = "x-queue";

const FORMAT: &str = "x-msg-fmt";
const DELAY: &str = "x-msg-delay-secs";

/// The body of `POST /batch`.
#[derive(Deserialize)]
struct Batch {
    messages: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    content_type: Option<String>,
    delay_secs: Option<u64>,
}

pub(crate) fn message(
    state: &mut State,
    headers: &HeaderMap,
    body: Bytes,
    now: Duration,
) -> Result<Moved, Refusal> {
    let queue = queue(state, headers)?;
    let content_type = content_type(text(headers, FORMAT)?)?;
    let message = Message::new(content_type, body).map_err(|_| Refusal::MessageMetadata)?;
    let delay = delay(headers, Refusal::MessageMetadata)?;
    send(state, &queue, vec![(message, delay)], now)
}

pub(crate) fn batch(
    state: &mut State,
    headers: &HeaderMap,
    body: &[u8],
    now: Duration,
) -> Result<Moved, Refusal> {
    let queue = queue(state, headers)?;
    let batch_delay = delay(headers, Refusal::BatchDelay)?;
    if batch_delay.is_some_and(|delay| delay > crate::limits::DELAY) {
        return Err(Refusal::BatchDelay);
    }
    let batch: Batch = crate::api::parse(body)?;
    let messages = batch.messages.into_iter().map(|entry| {
        let body = BASE64_STANDARD.decode(entry.body).map_err(|_| Refusal::BodyInvalid)?;
        let content_type = content_type(entry.content_type.as_deref())?;
        let message = Message::new(content_type, body).map_err(|_| Refusal::MessageMetadata)?;
        Ok((message, entry.delay_secs.map(Duration::from_secs).or(batch_delay)))
    });
    let messages = messages.collect::<Result<Vec<_>, Refusal>>()?;
    send(state, &queue, messages, now)
}

pub(crate) fn metrics(state: &mut State, headers: &HeaderMap) -> Result<Moved, Refusal> {
    let queue = queue(state, headers)?;
    let backlog = state.queue(&queue).ok_or(Refusal::QueueNotFound)?.backlog();
    Ok(Moved { messages: 0, response: json_response(StatusCode::OK, &tell(backlog)) })
}

fn send(state: &mut State, queue: &str, messages: Vec<Sent>, now: Duration) -> Result<Moved, Refusal> {
    let number = messages.len();
    let backlog = state.send(queue, messages, now)?;
    let response: Response<Bytes> =
        json_response(StatusCode::OK, &json!({ "metadata": { "metrics": tell(backlog) } }));
    Ok(Moved { messages: number, response })
}

fn tell(backlog: Backlog) -> Value {
    json!({
        "backlogCount": backlog.count,
        "backlogBytes": backlog.bytes,
        "oldestMessageTimestamp": millis(backlog.oldest),
    })
}

/// The id of the queue that is meant.
fn queue(state: &State, headers: &HeaderMap) -> Result<String, Refusal> {
    let named = text(headers, QUEUE_HEADER)?.ok_or(Refusal::QueueIdMalformed)?;
    let settings = state.queues().iter().map(crate::queue::Queue::settings);
    let found = settings.into_iter().find(|settings| settings.id == named || settings.name == named);
    found.map(|settings| settings.id.clone()).ok_or(Refusal::QueueNotFound)
}

/// Without a content type it is what the runtime means without one.
fn content_type(text: Option<&str>) -> Result<ContentType, Refusal> {
    text.map_or(Ok(ContentType::V8), |text| text.parse().map_err(|_| Refusal::MessageMetadata))
}

fn delay(headers: &HeaderMap, refusal: Refusal) -> Result<Option<Duration>, Refusal> {
    let seconds = text(headers, DELAY)?.map(str::parse).transpose().map_err(|_| refusal)?;
    Ok(seconds.map(Duration::from_secs))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    headers.get(name).map(|value| value.to_str().map_err(|_| Refusal::MessageMetadata)).transpose()
}
