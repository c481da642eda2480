//! The protocol of queue bindings in the Workers runtime: workerd sends it to the service that the binding names.
//! The protocol does not name the queue, so [`QUEUE_HEADER`] does.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::millis;
use crate::message::{EmulatorMessage, MessageContentType};
use crate::queue::QueueBacklog;
use crate::refusal::{CallRefusal, json_response};
use crate::service::CallOutcome;
use crate::state::{EmulatorState, OutgoingMessage};

/// Request header with the id or name of a queue; configure the runtime to inject it.
pub const QUEUE_HEADER: &str = "x-queue";

const FORMAT: &str = "x-msg-fmt";
const DELAY: &str = "x-msg-delay-secs";

/// The body of `POST /batch`.
#[derive(Deserialize)]
struct BrokerBatchBody {
    messages: Vec<BrokerBatchEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BrokerBatchEntry {
    body: String,
    content_type: Option<String>,
    delay_secs: Option<u64>,
}

pub(crate) fn message(
    state: &mut EmulatorState,
    headers: &HeaderMap,
    body: Bytes,
    now: Duration,
) -> Result<CallOutcome, CallRefusal> {
    let queue = queue(state, headers)?;
    let content_type = content_type(text(headers, FORMAT)?)?;
    let message = EmulatorMessage::new(content_type, body).map_err(|_| CallRefusal::MessageMetadata)?;
    let delay = delay(headers, CallRefusal::MessageMetadata)?;
    send(state, &queue, vec![(message, delay)], now)
}

pub(crate) fn batch(
    state: &mut EmulatorState,
    headers: &HeaderMap,
    body: &[u8],
    now: Duration,
) -> Result<CallOutcome, CallRefusal> {
    let queue = queue(state, headers)?;
    let batch_delay = delay(headers, CallRefusal::BatchDelay)?;
    if batch_delay.is_some_and(|delay| delay > crate::limits::DELAY) {
        return Err(CallRefusal::BatchDelay);
    }
    let batch: BrokerBatchBody = crate::api::parse(body)?;
    let messages = batch.messages.into_iter().map(|entry| {
        let body = BASE64_STANDARD.decode(entry.body).map_err(|_| CallRefusal::BodyInvalid)?;
        let content_type = content_type(entry.content_type.as_deref())?;
        let message = EmulatorMessage::new(content_type, body).map_err(|_| CallRefusal::MessageMetadata)?;
        Ok((message, entry.delay_secs.map(Duration::from_secs).or(batch_delay)))
    });
    let messages = messages.collect::<Result<Vec<_>, CallRefusal>>()?;
    send(state, &queue, messages, now)
}

pub(crate) fn metrics(state: &mut EmulatorState, headers: &HeaderMap) -> Result<CallOutcome, CallRefusal> {
    let queue = queue(state, headers)?;
    let backlog = state.queue(&queue).ok_or(CallRefusal::QueueNotFound)?.backlog();
    Ok(CallOutcome { messages: 0, response: json_response(StatusCode::OK, &metrics_json(backlog)) })
}

fn send(
    state: &mut EmulatorState,
    queue: &str,
    messages: Vec<OutgoingMessage>,
    now: Duration,
) -> Result<CallOutcome, CallRefusal> {
    let number = messages.len();
    let backlog = state.send(queue, messages, now)?;
    let response: Response<Bytes> =
        json_response(StatusCode::OK, &json!({ "metadata": { "metrics": metrics_json(backlog) } }));
    Ok(CallOutcome { messages: number, response })
}

fn metrics_json(backlog: QueueBacklog) -> Value {
    json!({
        "backlogCount": backlog.count,
        "backlogBytes": backlog.bytes,
        "oldestMessageTimestamp": millis(backlog.oldest),
    })
}

/// Returns the id of the queue that the header names.
fn queue(state: &EmulatorState, headers: &HeaderMap) -> Result<String, CallRefusal> {
    let named = text(headers, QUEUE_HEADER)?.ok_or(CallRefusal::QueueIdMalformed)?;
    let settings = state.queues().iter().map(crate::queue::EmulatedQueue::settings);
    let found = settings.into_iter().find(|settings| settings.id == named || settings.name == named);
    found.map(|settings| settings.id.clone()).ok_or(CallRefusal::QueueNotFound)
}

/// Parses a content type; the runtime omits it for `v8`.
fn content_type(text: Option<&str>) -> Result<MessageContentType, CallRefusal> {
    text.map_or(Ok(MessageContentType::V8), |text| text.parse().map_err(|_| CallRefusal::MessageMetadata))
}

fn delay(headers: &HeaderMap, refusal: CallRefusal) -> Result<Option<Duration>, CallRefusal> {
    let seconds = text(headers, DELAY)?.map(str::parse).transpose().map_err(|_| refusal)?;
    Ok(seconds.map(Duration::from_secs))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, CallRefusal> {
    headers.get(name).map(|value| value.to_str().map_err(|_| CallRefusal::MessageMetadata)).transpose()
}
