//! The worker's metrics. No label holds a token, a URL or a host.

use std::time::Duration;

use chargegate_core::{Decision, NextAttempt, TimestampCheck};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::authorizer::AclCallError;
use chargegate_storage::store::AttemptResult;

/// Describes every metric, so that all are present from the first scrape on.
pub(crate) fn describe() {
    chargegate_storage::metric::describe();
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
    describe_gauge!("chargegate_queue_waiting", "Messages in the queue");
    describe_gauge!("chargegate_queue_limit", "Messages the queue may hold");
    describe_gauge!("chargegate_callbacks_pending", "Callbacks neither delivered nor given up");
    describe_gauge!("chargegate_callbacks_dead", "Dead letters kept");
    for name in [
        "chargegate_decisions_late_total",
        "chargegate_duplicates_total",
        "chargegate_redelivered_total",
        "chargegate_acl_retries_total",
        "chargegate_callbacks_delivered_total",
    ] {
        counter!(name).absolute(0);
    }
    for name in ["chargegate_acl_in_flight", "chargegate_callbacks_under_way", "chargegate_window_in_use"] {
        gauge!(name).set(0.0);
    }
}

/// Increment of a gauge, undone on drop.
pub(crate) struct GaugeGuard(&'static str);

/// Increments the gauge `name` until the returned guard is dropped.
pub(crate) fn track(name: &'static str) -> GaugeGuard {
    gauge!(name).increment(1.0);
    GaugeGuard(name)
}

impl Drop for GaugeGuard {
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

pub(crate) fn acl_call(no_answer: Option<AclCallError>, took: Duration) {
    counter!("chargegate_acl_calls_total", "outcome" => no_answer.map_or("answered", AclCallError::as_str))
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

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a gauge is a float; counts stay far below 2^52"
)]
/// Sets the gauge `name`.
pub(crate) fn set_gauge(name: &'static str, value: u64) {
    gauge!(name).set(value as f64);
}
