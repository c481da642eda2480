//! Sending, pulling and settling.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::millis;
use crate::limits;
use crate::message::{ContentType, JsonBodies, Message};
use crate::queue::{Delivery, LeaseId, Leasing, Settled};
use crate::refusal::Refusal;
use crate::service::Handing;
use crate::settings::Consumer;
use crate::state::{Sent, State};

use super::{Answer, Asked, metrics, parse};

/// What the documentation shows as the source of messages that no Worker sent.
const SOURCE: &str = "dash";

#[derive(Deserialize)]
struct Batch {
    messages: Vec<Map<String, Value>>,
    delay_seconds: Option<Value>,
}

#[derive(Deserialize)]
struct Pull {
    batch_size: Option<usize>,
    visibility_timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Settling {
    acks: Option<Vec<Acknowledged>>,
    retries: Option<Vec<Retried>>,
}

#[derive(Deserialize)]
struct Acknowledged {
    lease_id: String,
}

#[derive(Deserialize)]
struct Retried {
    lease_id: String,
    delay_seconds: Option<u64>,
}

pub(super) fn send(state: &mut State, queue: &str, asked: &Asked<'_>) -> Answer {
    let message = outgoing(parse(asked.body)?, None)?;
    store(state, queue, vec![message], asked.now)
}

pub(super) fn send_batch(state: &mut State, queue: &str, asked: &Asked<'_>) -> Answer {
    let batch: Batch = parse(asked.body)?;
    let delay = batch.delay_seconds.map(|delay| delay.as_u64().ok_or(Refusal::BatchDelay)).transpose()?;
    let delay = delay.map(Duration::from_secs);
    if delay.is_some_and(|delay| delay > limits::DELAY) {
        return Err(Refusal::BatchDelay);
    }
    let messages = batch.messages.into_iter().map(|message| outgoing(message, delay));
    store(state, queue, messages.collect::<Result<_, _>>()?, asked.now)
}

pub(super) fn pull(state: &mut State, queue: &str, asked: &Asked<'_>) -> Answer {
    let Pull { batch_size, visibility_timeout_ms } = parse(asked.body)?;
    let batch_size = batch_size.unwrap_or(limits::DEFAULT_PULL_MESSAGES);
    let visibility = visibility_timeout_ms.map(Duration::from_millis);
    let sizes = 1..=limits::PULL_MESSAGES;
    if !sizes.contains(&batch_size) || visibility.is_some_and(|timeout| timeout > limits::VISIBILITY) {
        return Err(Refusal::BodyInvalid);
    }
    let (most, json_bodies) = (batch_size.min(state.pull_at_most), state.json_bodies);
    let queue = state.queue(queue).ok_or(Refusal::QueueNotFound)?;
    let Consumer::HttpPull(consumer) = &queue.settings().consumer else {
        return Err(Refusal::PullDisabled);
    };
    let leasing = match asked.handing {
        Handing::Forgotten => Leasing::Forgotten,
        Handing::True | Handing::WrongLeases => {
            Leasing::For(visibility.unwrap_or(consumer.visibility_timeout))
        }
    };
    let deliveries = queue.pull(most, leasing, asked.now);
    let number = deliveries.len();
    let told = deliveries.iter().map(|delivery| tell(delivery, json_bodies, asked.handing));
    let result = json!({
        "messages": told.collect::<Vec<_>>(),
        "message_backlog_count": queue.backlog().count,
        "metadata": { "metrics": metrics(queue.backlog()) },
    });
    Ok((result, number))
}

pub(super) fn settle(state: &mut State, id: &str, asked: &Asked<'_>) -> Answer {
    let Settling { acks, retries } = parse(asked.body)?;
    let (acks, retries) = (acks.unwrap_or_default(), retries.unwrap_or_default());
    if acks.len().saturating_add(retries.len()) > limits::SETTLED {
        return Err(Refusal::BodyInvalid);
    }
    let delays = retries.iter().filter_map(|retry| retry.delay_seconds).map(Duration::from_secs);
    if delays.into_iter().any(|delay| delay > limits::DELAY) {
        return Err(Refusal::MessageMetadata);
    }
    let queue = state.queue(id).ok_or(Refusal::QueueNotFound)?;
    let (mut acknowledged, mut put_back) = (0_usize, 0_usize);
    let mut warnings = Map::new();
    let mut warn = |lease: String, text: &str| {
        warnings.insert(lease, Value::from(text));
    };
    for ack in acks {
        let settled = ack.lease_id.parse().map_or(Settled::Unknown, |lease| queue.acknowledge(&lease));
        match settled {
            // Documented: acknowledging what is gone is no error.
            Settled::Done | Settled::TooLate => acknowledged = acknowledged.saturating_add(1),
            Settled::Unknown => warn(ack.lease_id, "the lease id is not valid"),
        }
    }
    let mut given_up = Vec::new();
    for retry in retries {
        let delay = retry.delay_seconds.map(Duration::from_secs);
        let mut retry_by = |lease: LeaseId| queue.retry(&lease, delay, asked.now, &mut given_up);
        match retry.lease_id.parse().map_or(Settled::Unknown, &mut retry_by) {
            Settled::Done => put_back = put_back.saturating_add(1),
            Settled::TooLate => warn(retry.lease_id, "the lease has expired"),
            Settled::Unknown => warn(retry.lease_id, "the lease id is not valid"),
        }
    }
    state.bury_of(id, given_up, asked.now);
    let result = json!({ "ackCount": acknowledged, "retryCount": put_back, "warnings": warnings });
    Ok((result, acknowledged.saturating_add(put_back)))
}

fn store(state: &mut State, queue: &str, messages: Vec<Sent>, now: Duration) -> Answer {
    let number = messages.len();
    let backlog = state.send(queue, messages, now)?;
    Ok((json!({ "metadata": { "metrics": metrics(backlog) } }), number))
}

/// A message as the API takes it: `json` by default, else `text`.
fn outgoing(mut fields: Map<String, Value>, batch_delay: Option<Duration>) -> Result<Sent, Refusal> {
    let body = fields.remove("body").ok_or(Refusal::BodyInvalid)?;
    let content_type = match fields.get("content_type") {
        None | Some(Value::Null) => ContentType::Json,
        Some(Value::String(text)) => text.parse().map_err(|_| Refusal::MessageMetadata)?,
        Some(_) => return Err(Refusal::MessageMetadata),
    };
    let delay = match fields.get("delay_seconds") {
        None | Some(Value::Null) => batch_delay,
        Some(delay) => Some(Duration::from_secs(delay.as_u64().ok_or(Refusal::MessageMetadata)?)),
    };
    let message = match (content_type, body) {
        (ContentType::Text, Value::String(text)) => Message::text(text),
        (ContentType::Json, body) => {
            Message::new(ContentType::Json, body.to_string()).map_err(|_| Refusal::BodyInvalid)?
        }
        (ContentType::Text, _) => return Err(Refusal::BodyInvalid),
        (ContentType::Bytes | ContentType::V8, _) => return Err(Refusal::MessageMetadata),
    };
    Ok((message, delay))
}

fn tell(delivery: &Delivery, json_bodies: JsonBodies, handing: Handing) -> Value {
    let lease = match handing {
        Handing::True | Handing::Forgotten => delivery.lease.to_string(),
        Handing::WrongLeases => format!("wrong-{}", delivery.lease),
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
