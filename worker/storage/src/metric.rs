//! The metrics that engines count. No label holds a token, a URL or a host.

use std::error::Error;

use metrics::{counter, describe_counter};

/// Describes every metric, so that they are all there from the first scrape on.
pub fn describe() {
    describe_counter!("chargegate_enqueued_total", "Requests the queue confirmed");
    describe_counter!("chargegate_enqueue_failures_total", "Requests the queue did not confirm, by reason");
    describe_counter!("chargegate_engine_failures_total", "Failed operations of the queue and the store");
    describe_counter!("chargegate_queue_forgotten_total", "Messages the queue had confirmed and then lost");
    describe_counter!(
        "chargegate_queue_reconnects_total",
        "Connections to the queue's server that were made again"
    );
    describe_counter!(
        "chargegate_queue_groups_recreated_total",
        "Consumer groups that the queue's server had lost"
    );
    describe_counter!(
        "chargegate_queue_taken_over_total",
        "Messages taken over that were left behind, by cause"
    );
    describe_counter!("chargegate_queue_calls_total", "Calls to a queue service, by kind and result");
    describe_counter!(
        "chargegate_queue_leases_expired_total",
        "Messages whose lease ended in our hands, so that they come again"
    );
    for name in [
        "chargegate_engine_failures_total",
        "chargegate_enqueued_total",
        "chargegate_queue_forgotten_total",
        "chargegate_queue_leases_expired_total",
    ] {
        counter!(name).absolute(0);
    }
}

/// Counts an enqueued message, or the reason why it was not enqueued.
pub fn enqueue(failure: Option<&'static str>) {
    match failure {
        None => counter!("chargegate_enqueued_total").increment(1),
        Some(reason) => counter!("chargegate_enqueue_failures_total", "reason" => reason).increment(1),
    }
}

/// Counts a connection to the queue's server that was made again.
pub fn queue_reconnected() {
    counter!("chargegate_queue_reconnects_total").increment(1);
}

/// Counts a consumer group that was created again.
pub fn queue_group_recreated() {
    counter!("chargegate_queue_groups_recreated_total").increment(1);
}

/// Counts messages of a dead worker that were reclaimed.
pub fn queue_taken_over(cause: &'static str, messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!("chargegate_queue_taken_over_total", "cause" => cause).increment(messages);
}

/// Counts a call to a queue service.
pub fn queue_call(kind: &'static str, result: &'static str) {
    counter!("chargegate_queue_calls_total", "kind" => kind, "result" => result).increment(1);
}

/// Counts messages whose lease expired in this process.
pub fn queue_leases_expired(messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!("chargegate_queue_leases_expired_total").increment(messages);
}

/// Counts a failed operation of an engine.
pub fn engine_failure() {
    counter!("chargegate_engine_failures_total").increment(1);
}

/// Counts messages that the queue confirmed and lost.
pub fn forgotten(messages: u64) {
    counter!("chargegate_queue_forgotten_total").increment(messages);
}

/// The causes behind an error, innermost last, for a log line.
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
