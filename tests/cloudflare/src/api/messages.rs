//! Sending, pulling, acknowledging and retrying messages.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::millis;
use crate::limits;
use crate::message::{EmulatorMessage, JsonBodyForm, MessageContentType};
use crate::queue::{AckOutcome, LeaseId, LeaseMode, MessageDelivery};
use crate::refusal::CallRefusal;
use crate::service::DeliveryMode;
use crate::settings::QueueConsumer;
use crate::state::{EmulatorState, OutgoingMessage};

use super::{ApiRequest, ApiResult, metrics, parse};

/// Source of messages that no Worker sent, as the documentation shows it.
const SOURCE: &str = "dash";

#[derive(Deserialize)]
struct SendBatchBody {
    messages: Vec<Map<String, Value>>,
    delay_seconds: Option<Value>,
}

#[derive(Deserialize)]
struct PullBody {
    batch_size: Option<usize>,
    visibility_timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct AckBody {
    acks: Option<Vec<AckEntry>>,
    retries: Option<Vec<RetryEntry>>,
}

#[derive(Deserialize)]
struct AckEntry {
    lease_id: String,
}

#[derive(Deserialize)]
struct RetryEntry {
    lease_id: String,
    delay_seconds: Option<u64>,
}

pub(super) fn send(state: &mut EmulatorState, queue: &str, asked: &ApiRequest<'_>) -> ApiResult {
    let message = outgoing(parse(asked.body)?, None)?;
    store(state, queue, vec![message], asked.now)
}

pub(super) fn send_batch(state: &mut EmulatorState, queue: &str, asked: &ApiRequest<'_>) -> ApiResult {
    let batch: SendBatchBody = parse(asked.body)?;
    let delay = batch.delay_seconds.map(|delay| delay.as_u64().ok_or(CallRefusal::BatchDelay)).transpose()?;
    let delay = delay.map(Duration::from_secs);
    if delay.is_some_and(|delay| delay > limits::DELAY) {
        return Err(CallRefusal::BatchDelay);
    }
    let messages = batch.messages.into_iter().map(|message| outgoing(message, delay));
    store(state, queue, messages.collect::<Result<_, _>>()?, asked.now)
}

pub(super) fn pull(state: &mut EmulatorState, queue: &str, asked: &ApiRequest<'_>) -> ApiResult {
    let PullBody { batch_size, visibility_timeout_ms } = parse(asked.body)?;
    let batch_size = batch_size.unwrap_or(limits::DEFAULT_PULL_MESSAGES);
    let visibility = visibility_timeout_ms.map(Duration::from_millis);
    let sizes = 1..=limits::PULL_MESSAGES;
    if !sizes.contains(&batch_size) || visibility.is_some_and(|timeout| timeout > limits::VISIBILITY) {
        return Err(CallRefusal::BodyInvalid);
    }
    let (most, json_bodies) = (batch_size.min(state.pull_at_most), state.json_bodies);
    let queue = state.queue(queue).ok_or(CallRefusal::QueueNotFound)?;
    let QueueConsumer::HttpPull(consumer) = &queue.settings().consumer else {
        return Err(CallRefusal::PullDisabled);
    };
    let leasing = match asked.handing {
        DeliveryMode::Forgotten => LeaseMode::Forgotten,
        DeliveryMode::True | DeliveryMode::WrongLeases => {
            LeaseMode::For(visibility.unwrap_or(consumer.visibility_timeout))
        }
    };
    let deliveries = queue.pull(most, leasing, asked.now);
    let number = deliveries.len();
    let messages = deliveries.iter().map(|delivery| delivery_json(delivery, json_bodies, asked.handing));
    let result = json!({
        "messages": messages.collect::<Vec<_>>(),
        "message_backlog_count": queue.backlog().count,
        "metadata": { "metrics": metrics(queue.backlog()) },
    });
    Ok((result, number))
}

pub(super) fn acknowledge(state: &mut EmulatorState, id: &str, asked: &ApiRequest<'_>) -> ApiResult {
    let AckBody { acks, retries } = parse(asked.body)?;
    let (acks, retries) = (acks.unwrap_or_default(), retries.unwrap_or_default());
    if acks.len().saturating_add(retries.len()) > limits::SETTLED {
        return Err(CallRefusal::BodyInvalid);
    }
    let delays = retries.iter().filter_map(|retry| retry.delay_seconds).map(Duration::from_secs);
    if delays.into_iter().any(|delay| delay > limits::DELAY) {
        return Err(CallRefusal::MessageMetadata);
    }
    let queue = state.queue(id).ok_or(CallRefusal::QueueNotFound)?;
    let (mut acknowledged, mut returned) = (0_usize, 0_usize);
    let mut warnings = Map::new();
    let mut warn = |lease: String, text: &str| {
        warnings.insert(lease, Value::from(text));
    };
    for ack in acks {
        let settled = ack.lease_id.parse().map_or(AckOutcome::Unknown, |lease| queue.acknowledge(&lease));
        match settled {
            // Documented: acknowledging a message that is gone is not an error.
            AckOutcome::Done | AckOutcome::TooLate => acknowledged = acknowledged.saturating_add(1),
            AckOutcome::Unknown => warn(ack.lease_id, "the lease id is not valid"),
        }
    }
    let mut given_up = Vec::new();
    for retry in retries {
        let delay = retry.delay_seconds.map(Duration::from_secs);
        let mut retry_by = |lease: LeaseId| queue.retry(&lease, delay, asked.now, &mut given_up);
        match retry.lease_id.parse().map_or(AckOutcome::Unknown, &mut retry_by) {
            AckOutcome::Done => returned = returned.saturating_add(1),
            AckOutcome::TooLate => warn(retry.lease_id, "the lease has expired"),
            AckOutcome::Unknown => warn(retry.lease_id, "the lease id is not valid"),
        }
    }
    state.dead_letter_for(id, given_up, asked.now);
    let result = json!({ "ackCount": acknowledged, "retryCount": returned, "warnings": warnings });
    Ok((result, acknowledged.saturating_add(returned)))
}

fn store(state: &mut EmulatorState, queue: &str, messages: Vec<OutgoingMessage>, now: Duration) -> ApiResult {
    let number = messages.len();
    let backlog = state.send(queue, messages, now)?;
    Ok((json!({ "metadata": { "metrics": metrics(backlog) } }), number))
}

/// Parses a message of the API, whose content type is `json` by default, or `text`.
fn outgoing(
    mut fields: Map<String, Value>,
    batch_delay: Option<Duration>,
) -> Result<OutgoingMessage, CallRefusal> {
    let body = fields.remove("body").ok_or(CallRefusal::BodyInvalid)?;
    let content_type = match fields.get("content_type") {
        None | Some(Value::Null) => MessageContentType::Json,
        Some(Value::String(text)) => text.parse().map_err(|_| CallRefusal::MessageMetadata)?,
        Some(_) => return Err(CallRefusal::MessageMetadata),
    };
    let delay = match fields.get("delay_seconds") {
        None | Some(Value::Null) => batch_delay,
        Some(delay) => Some(Duration::from_secs(delay.as_u64().ok_or(CallRefusal::MessageMetadata)?)),
    };
    let message = match (content_type, body) {
        (MessageContentType::Text, Value::String(text)) => EmulatorMessage::text(text),
        (MessageContentType::Json, body) => EmulatorMessage::new(MessageContentType::Json, body.to_string())
            .map_err(|_| CallRefusal::BodyInvalid)?,
        (MessageContentType::Text, _) => return Err(CallRefusal::BodyInvalid),
        (MessageContentType::Bytes | MessageContentType::V8, _) => return Err(CallRefusal::MessageMetadata),
    };
    Ok((message, delay))
}

fn delivery_json(delivery: &MessageDelivery, json_bodies: JsonBodyForm, handing: DeliveryMode) -> Value {
    let lease = match handing {
        DeliveryMode::True | DeliveryMode::Forgotten => delivery.lease.to_string(),
        DeliveryMode::WrongLeases => format!("wrong-{}", delivery.lease),
    };
    json!({
        "id": delivery.id,
        "lease_id": lease,
        "body": delivery.message.pulled(json_bodies),
        "attempts": delivery.attempts,
        "timestamp_ms": millis(delivery.sent),
        "metadata": {
            "CF-Content-Type": delivery.message.content_type().as_str(),
            "CF-sourceMessageSource": SOURCE,
        },
    })
}
