//! The names of what is counted, in one place. No label holds a token, a URL or a host.

use std::error::Error;
use std::time::Duration;

use chargegate_core::{Decision, NextAttempt, TimestampCheck};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::authorizer::NoAnswer;
use crate::store::AttemptResult;

/// Describes every metric, so that they are all there from the first scrape on.
pub(crate) fn describe() {
    describe_counter!("chargegate_decisions_total", "Decisions recorded, by status and reason");
    describe_counter!("chargegate_decisions_late_total", "Decisions recorded after their deadline");
    describe_counter!("chargegate_duplicates_total", "Messages whose request had its decision already");
    describe_counter!("chargegate_redelivered_total", "Messages delivered again after they were recorded");
    describe_counter!("chargegate_poison_total", "Messages that could not be decoded, by reason");
    describe_counter!("chargegate_clock_skew_total", "Messages whose times were odd, by kind");
    describe_counter!("chargegate_acl_calls_total", "Calls to the authorization service, by outcome");
    describe_counter!("chargegate_acl_retries_total", "Calls that repeated one without an answer");
    describe_gauge!("chargegate_acl_in_flight", "Calls to the authorization service in flight");
    describe_histogram!("chargegate_acl_call_seconds", "Time of a call to the authorization service");
    describe_histogram!("chargegate_decision_age_seconds", "Age of a request when its decision was made");
    describe_gauge!("chargegate_window_in_use", "Messages leased and not yet acknowledged");
    describe_counter!("chargegate_callback_attempts_total", "Attempts to deliver a callback, by result");
    describe_counter!("chargegate_callbacks_delivered_total", "Callbacks that arrived");
    describe_counter!("chargegate_callbacks_dead_total", "Callbacks given up, by reason");
    describe_gauge!("chargegate_callbacks_under_way", "Attempts to deliver a callback in flight");
    describe_histogram!("chargegate_callback_seconds", "Time of an attempt to deliver a callback");
    describe_counter!("chargegate_enqueued_total", "Requests the queue confirmed");
    describe_counter!("chargegate_enqueue_failures_total", "Requests the queue did not confirm, by reason");
    describe_counter!("chargegate_engine_failures_total", "Failed operations of the queue and the store");
    describe_counter!("chargegate_queue_forgotten_total", "Messages the queue had confirmed and then lost");
    describe_gauge!("chargegate_queue_waiting", "Messages in the queue");
    describe_gauge!("chargegate_queue_limit", "Messages the queue may hold");
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
    describe_gauge!("chargegate_callbacks_pending", "Callbacks neither delivered nor given up");
    describe_gauge!("chargegate_callbacks_dead", "Dead letters kept");
    for name in [
        "chargegate_decisions_late_total",
        "chargegate_duplicates_total",
        "chargegate_redelivered_total",
        "chargegate_acl_retries_total",
        "chargegate_callbacks_delivered_total",
        "chargegate_engine_failures_total",
        "chargegate_enqueued_total",
        "chargegate_queue_forgotten_total",
        "chargegate_queue_leases_expired_total",
    ] {
        counter!(name).absolute(0);
    }
    for name in ["chargegate_acl_in_flight", "chargegate_callbacks_under_way", "chargegate_window_in_use"] {
        gauge!(name).set(0.0);
    }
}

/// Counts itself in a gauge while it lives.
pub(crate) struct UnderWay(&'static str);

/// Counts one thing under way in the gauge `name`.
pub(crate) fn under_way(name: &'static str) -> UnderWay {
    gauge!(name).increment(1.0);
    UnderWay(name)
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}

pub(crate) fn decision(decision: Decision, age: Duration, late: bool) {
    counter!("chargegate_decisions_total", "status" => decision.status.as_str(), "reason" => decision.reason.as_str())
        .increment(1);
    histogram!("chargegate_decision_age_seconds").record(age);
    if late {
        counter!("chargegate_decisions_late_total").increment(1);
    }
}

pub(crate) fn duplicate() {
    counter!("chargegate_duplicates_total").increment(1);
}

pub(crate) fn redelivered() {
    counter!("chargegate_redelivered_total").increment(1);
}

pub(crate) fn poison(reason: &'static str) {
    counter!("chargegate_poison_total", "reason" => reason).increment(1);
}

pub(crate) fn clock(check: TimestampCheck) {
    let kind = match check {
        TimestampCheck::Consistent => return,
        TimestampCheck::Skewed => "skewed",
        TimestampCheck::Future => "future",
    };
    counter!("chargegate_clock_skew_total", "kind" => kind).increment(1);
}

pub(crate) fn acl_call(no_answer: Option<NoAnswer>, took: Duration) {
    counter!("chargegate_acl_calls_total", "outcome" => no_answer.map_or("answered", NoAnswer::as_str))
        .increment(1);
    histogram!("chargegate_acl_call_seconds").record(took);
}

pub(crate) fn acl_retry() {
    counter!("chargegate_acl_retries_total").increment(1);
}

pub(crate) fn attempt(result: AttemptResult, next: NextAttempt, took: Duration) {
    counter!("chargegate_callback_attempts_total", "result" => result.as_str()).increment(1);
    histogram!("chargegate_callback_seconds").record(took);
    match next {
        NextAttempt::Delivered => counter!("chargegate_callbacks_delivered_total").increment(1),
        NextAttempt::GiveUp(reason) => {
            counter!("chargegate_callbacks_dead_total", "reason" => reason.as_str()).increment(1);
        }
        NextAttempt::Retry { .. } => {}
    }
}

pub(crate) fn enqueue(failure: Option<&'static str>) {
    match failure {
        None => counter!("chargegate_enqueued_total").increment(1),
        Some(reason) => counter!("chargegate_enqueue_failures_total", "reason" => reason).increment(1),
    }
}

pub(crate) fn queue_reconnected() {
    counter!("chargegate_queue_reconnects_total").increment(1);
}

pub(crate) fn queue_group_recreated() {
    counter!("chargegate_queue_groups_recreated_total").increment(1);
}

pub(crate) fn queue_taken_over(cause: &'static str, messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!("chargegate_queue_taken_over_total", "cause" => cause).increment(messages);
}

pub(crate) fn queue_call(kind: &'static str, result: &'static str) {
    counter!("chargegate_queue_calls_total", "kind" => kind, "result" => result).increment(1);
}

pub(crate) fn queue_leases_expired(messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!("chargegate_queue_leases_expired_total").increment(messages);
}

pub(crate) fn engine_failure() {
    counter!("chargegate_engine_failures_total").increment(1);
}

pub(crate) fn forgotten(messages: u64) {
    counter!("chargegate_queue_forgotten_total").increment(messages);
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a gauge is a float; counts stay far below 2^52"
)]
pub(crate) fn level(name: &'static str, value: u64) {
    gauge!(name).set(value as f64);
}

/// The causes behind an error, innermost last, for a log line.
pub(crate) fn cause(error: &dyn Error) -> String {
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
