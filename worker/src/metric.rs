//! The worker's metrics. No label holds a token, a URL or a host.

use std::time::Duration;

use chargegate_core::{Decision, GiveUpReason, NextAttempt, TimestampCheck};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::authorizer::AclCallError;
use chargegate_storage::store::AttemptResult;

pub(crate) const ACL_IN_FLIGHT: &str = "chargegate_acl_in_flight";
pub(crate) const ACL_PRESUMED: &str = "chargegate_acl_presumed";
pub(crate) const ACL_SHARE: &str = "chargegate_acl_share";
pub(crate) const ACL_FLEET_LIMIT: &str = "chargegate_acl_fleet_limit";
pub(crate) const CALLBACKS_PENDING: &str = "chargegate_callbacks_pending";
pub(crate) const CALLBACKS_UNDER_WAY: &str = "chargegate_callbacks_under_way";
pub(crate) const RECEIVERS_UNAVAILABLE: &str = "chargegate_callback_receivers_unavailable";
pub(crate) const DEAD_LETTERS: &str = "chargegate_callbacks_dead";
pub(crate) const QUEUE_LIMIT: &str = "chargegate_queue_limit";
pub(crate) const QUEUE_WAITING: &str = "chargegate_queue_waiting";
pub(crate) const WINDOW_IN_USE: &str = "chargegate_window_in_use";

const ACL_CALLS: &str = "chargegate_acl_calls_total";
const ACL_CALL_SECONDS: &str = "chargegate_acl_call_seconds";
const ACL_RETRIES: &str = "chargegate_acl_retries_total";
const CALLBACKS_DEAD: &str = "chargegate_callbacks_dead_total";
const CALLBACKS_DELIVERED: &str = "chargegate_callbacks_delivered_total";
const CALLBACK_ATTEMPTS: &str = "chargegate_callback_attempts_total";
const CALLBACKS_POSTPONED: &str = "chargegate_callbacks_postponed_total";
const CALLBACK_SECONDS: &str = "chargegate_callback_seconds";
const CLOCK_SKEW: &str = "chargegate_clock_skew_total";
const DECISIONS: &str = "chargegate_decisions_total";
const DECISIONS_LATE: &str = "chargegate_decisions_late_total";
const DECISION_AGE_SECONDS: &str = "chargegate_decision_age_seconds";
const DUPLICATES: &str = "chargegate_duplicates_total";
const POISON: &str = "chargegate_poison_total";
const REDELIVERED: &str = "chargegate_redelivered_total";

/// Describes every metric, so that all are present from the first scrape on.
pub(crate) fn describe() {
    chargegate_storage::metric::describe();
    describe_counter!(DECISIONS, "Decisions recorded, by status and reason");
    describe_counter!(DECISIONS_LATE, "Decisions recorded after their deadline");
    describe_counter!(DUPLICATES, "Messages whose request had its decision already");
    describe_counter!(REDELIVERED, "Messages delivered again after they were recorded");
    describe_counter!(POISON, "Messages that could not be decoded, by reason");
    describe_counter!(CLOCK_SKEW, "Messages whose timestamps were inconsistent, by kind");
    describe_counter!(ACL_CALLS, "Calls to the authorization service, by outcome");
    describe_counter!(ACL_RETRIES, "Calls that repeated one without an answer");
    describe_gauge!(ACL_IN_FLIGHT, "Calls to the authorization service in flight");
    describe_gauge!(
        ACL_PRESUMED,
        "Calls that timed out or were cut, and may still occupy the authorization service"
    );
    describe_gauge!(ACL_SHARE, "Calls that this worker may have in flight: its share of the fleet's limit");
    describe_gauge!(
        ACL_FLEET_LIMIT,
        "Calls that all workers may have in flight; 0 while the breaker is open"
    );
    describe_histogram!(ACL_CALL_SECONDS, "Time of a call to the authorization service");
    describe_histogram!(DECISION_AGE_SECONDS, "Age of a request when its decision was made");
    describe_gauge!(WINDOW_IN_USE, "Messages leased and not yet acknowledged");
    describe_counter!(CALLBACK_ATTEMPTS, "Attempts to deliver a callback, by result");
    describe_counter!(CALLBACKS_DELIVERED, "Callbacks that arrived");
    describe_counter!(CALLBACKS_DEAD, "Callbacks given up, by reason");
    describe_gauge!(CALLBACKS_UNDER_WAY, "Attempts to deliver a callback in flight");
    describe_counter!(CALLBACKS_POSTPONED, "Callbacks put off without an attempt");
    describe_gauge!(RECEIVERS_UNAVAILABLE, "Hosts and addresses that are called only by probes");
    describe_histogram!(CALLBACK_SECONDS, "Time of an attempt to deliver a callback");
    describe_gauge!(QUEUE_WAITING, "Messages in the queue");
    describe_gauge!(QUEUE_LIMIT, "Messages the queue may hold");
    describe_gauge!(CALLBACKS_PENDING, "Callbacks neither delivered nor given up");
    describe_gauge!(DEAD_LETTERS, "Dead letters kept");
    for name in
        [DECISIONS_LATE, DUPLICATES, REDELIVERED, ACL_RETRIES, CALLBACKS_DELIVERED, CALLBACKS_POSTPONED]
    {
        counter!(name).absolute(0);
    }
    for name in [
        ACL_IN_FLIGHT,
        ACL_PRESUMED,
        ACL_SHARE,
        ACL_FLEET_LIMIT,
        CALLBACKS_UNDER_WAY,
        RECEIVERS_UNAVAILABLE,
        WINDOW_IN_USE,
    ] {
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
    counter!(DECISIONS, "status" => decision.status.as_str(), "reason" => decision.reason.as_str())
        .increment(1);
    histogram!(DECISION_AGE_SECONDS).record(age);
    if late {
        counter!(DECISIONS_LATE).increment(1);
    }
}

pub(crate) fn duplicate() {
    counter!(DUPLICATES).increment(1);
}

pub(crate) fn redelivered() {
    counter!(REDELIVERED).increment(1);
}

pub(crate) fn poison(reason: &'static str) {
    counter!(POISON, "reason" => reason).increment(1);
}

pub(crate) fn clock(check: TimestampCheck) {
    let kind = match check {
        TimestampCheck::Consistent => return,
        TimestampCheck::Skewed => "skewed",
        TimestampCheck::Future => "future",
    };
    counter!(CLOCK_SKEW, "kind" => kind).increment(1);
}

pub(crate) fn acl_call(no_answer: Option<AclCallError>, took: Duration) {
    counter!(ACL_CALLS, "outcome" => no_answer.map_or("answered", AclCallError::as_str)).increment(1);
    histogram!(ACL_CALL_SECONDS).record(took);
}

pub(crate) fn acl_retry() {
    counter!(ACL_RETRIES).increment(1);
}

pub(crate) fn callback_dead(reason: GiveUpReason) {
    counter!(CALLBACKS_DEAD, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn callback_postponed() {
    counter!(CALLBACKS_POSTPONED).increment(1);
}

pub(crate) fn attempt(result: AttemptResult, next: NextAttempt, took: Duration) {
    counter!(CALLBACK_ATTEMPTS, "result" => result.as_str()).increment(1);
    histogram!(CALLBACK_SECONDS).record(took);
    match next {
        NextAttempt::Delivered => counter!(CALLBACKS_DELIVERED).increment(1),
        NextAttempt::GiveUp(reason) => callback_dead(reason),
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
