//! Descriptions of queues and their consumers.

use serde_json::{Value, json};

use crate::limits;
use crate::queue::EmulatedQueue;
use crate::settings::QueueConsumer;
use crate::state::EmulatorState;

/// A fixed time, since no call creates or changes a queue.
const CREATED: &str = "2026-01-01T00:00:00.000000Z";

pub(super) fn queues(state: &EmulatorState, account: &str) -> Value {
    let queues = state.queues().iter().filter(|queue| queue.settings().account == account);
    queues.map(self::queue).collect()
}

pub(super) fn queue(queue: &EmulatedQueue) -> Value {
    let settings = queue.settings();
    let consumers = consumers(queue);
    let number = consumers.as_array().map_or(0, Vec::len);
    json!({
        "queue_id": settings.id,
        "queue_name": settings.name,
        "created_on": CREATED,
        "modified_on": CREATED,
        "settings": {
            "delivery_delay": settings.delivery_delay.as_secs(),
            "delivery_paused": settings.delivery_paused,
            "message_retention_period": settings.retention.as_secs(),
        },
        "producers": [],
        "producers_total_count": 0,
        "consumers": consumers,
        "consumers_total_count": number,
    })
}

pub(super) fn consumers(queue: &EmulatedQueue) -> Value {
    let settings = queue.settings();
    match &settings.consumer {
        QueueConsumer::None => json!([]),
        QueueConsumer::Worker { script } => json!([{
            "type": "worker",
            "consumer_id": settings.id,
            "queue_name": settings.name,
            "script_name": script,
            "created_on": CREATED,
            "dead_letter_queue": "",
            "settings": {
                "batch_size": 10,
                "max_retries": limits::DEFAULT_RETRIES,
                "max_wait_time_ms": 5_000,
                "retry_delay": 0,
            },
        }]),
        QueueConsumer::HttpPull(pull) => json!([{
            "type": "http_pull",
            "consumer_id": settings.id,
            "queue_name": settings.name,
            "created_on": CREATED,
            "dead_letter_queue": pull.dead_letter_queue.as_deref().unwrap_or_default(),
            "settings": {
                "batch_size": limits::DEFAULT_PULL_MESSAGES,
                "max_retries": pull.max_retries,
                "retry_delay": pull.retry_delay.as_secs(),
                "visibility_timeout_ms": crate::clock::millis(pull.visibility_timeout),
            },
        }]),
    }
}
