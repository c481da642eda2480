//! Metrics of the engines. No label holds a token, a URL or a host.

use std::error::Error;

use metrics::{counter, describe_counter};

const ENGINE_FAILURES: &str = "chargegate_engine_failures_total";
const ENQUEUE_FAILURES: &str = "chargegate_enqueue_failures_total";
const ENQUEUED: &str = "chargegate_enqueued_total";
const QUEUE_CALLS: &str = "chargegate_queue_calls_total";
const QUEUE_FORGOTTEN: &str = "chargegate_queue_forgotten_total";
const QUEUE_GROUPS_RECREATED: &str = "chargegate_queue_groups_recreated_total";
const QUEUE_LEASES_EXPIRED: &str = "chargegate_queue_leases_expired_total";
const QUEUE_RECONNECTS: &str = "chargegate_queue_reconnects_total";
const QUEUE_TAKEN_OVER: &str = "chargegate_queue_taken_over_total";

/// Describes every metric, so that all of them exist from the first scrape on.
pub fn describe() {
    describe_counter!(ENQUEUED, "Requests the queue confirmed");
    describe_counter!(ENQUEUE_FAILURES, "Requests the queue did not confirm, by reason");
    describe_counter!(ENGINE_FAILURES, "Failed operations of the queue and the store");
    describe_counter!(QUEUE_FORGOTTEN, "Messages the queue had confirmed and then lost");
    describe_counter!(QUEUE_RECONNECTS, "Connections to the queue's server that were made again");
    describe_counter!(QUEUE_GROUPS_RECREATED, "Consumer groups that were created again");
    describe_counter!(QUEUE_TAKEN_OVER, "Messages of dead workers that were reclaimed, by cause");
    describe_counter!(QUEUE_CALLS, "Calls to a queue service, by kind and result");
    describe_counter!(
        QUEUE_LEASES_EXPIRED,
        "Messages whose lease expired in this process, so that they are delivered again"
    );
    for name in [ENGINE_FAILURES, ENQUEUED, QUEUE_FORGOTTEN, QUEUE_LEASES_EXPIRED] {
        counter!(name).absolute(0);
    }
}

/// Counts an enqueued message, or the reason why it was not enqueued.
pub fn enqueue(failure: Option<&'static str>) {
    match failure {
        None => counter!(ENQUEUED).increment(1),
        Some(reason) => counter!(ENQUEUE_FAILURES, "reason" => reason).increment(1),
    }
}

/// Counts a connection to the queue's server that was made again.
pub fn queue_reconnected() {
    counter!(QUEUE_RECONNECTS).increment(1);
}

/// Counts a consumer group that was created again.
pub fn queue_group_recreated() {
    counter!(QUEUE_GROUPS_RECREATED).increment(1);
}

/// Counts messages of a dead worker that were reclaimed.
pub fn queue_taken_over(cause: &'static str, messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!(QUEUE_TAKEN_OVER, "cause" => cause).increment(messages);
}

/// Counts a call to a queue service.
pub fn queue_call(kind: &'static str, result: &'static str) {
    counter!(QUEUE_CALLS, "kind" => kind, "result" => result).increment(1);
}

/// Counts messages whose lease expired in this process.
pub fn queue_leases_expired(messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!(QUEUE_LEASES_EXPIRED).increment(messages);
}

/// Counts a failed operation of an engine.
pub fn engine_failure() {
    counter!(ENGINE_FAILURES).increment(1);
}

/// Counts messages that the queue confirmed and lost.
pub fn forgotten(messages: u64) {
    counter!(QUEUE_FORGOTTEN).increment(messages);
}

/// Returns the causes of an error, innermost last, for a log line.
pub fn cause(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
