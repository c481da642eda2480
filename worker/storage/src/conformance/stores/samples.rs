//! Requests, outcomes and reports for tests.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::queue::MessageKey;
use crate::store::{
    AfterAttempt, AttemptReport, AttemptResult, CallbackJob, ClaimLimits, DecidedMessage, Outcome,
    PoisonMessage, RecordVerdict, Store,
};
use chargegate_core::{Decision, DecisionStatus, MessageDecodeError, RequestId, SessionMessage, UnixMillis};

/// Start of the manual clock: years apart from any server's clock.
pub const START: u64 = 1_700_000_000_000;
/// Driver token of every request.
pub const TOKEN: &str = "driver-allowed-0000000001";

/// Returns the message key with this text.
pub fn key(text: &str) -> MessageKey {
    MessageKey::from(text.to_owned())
}

/// Returns the id of a numbered request.
pub fn request_id(request: u32) -> RequestId {
    let mut random = [0; 10];
    random[4..8].copy_from_slice(&request.to_be_bytes());
    RequestId::v7(UnixMillis(START), random)
}

/// Returns the message of a numbered request, with its callback to a host.
pub fn message(request: u32, host: &str) -> SessionMessage {
    SessionMessage {
        id: request_id(request),
        station_id: "123e4567-E89B-12d3-a456-426614174000".parse().unwrap(),
        driver_token: TOKEN.into(),
        callback_url: format!("https://{host}/callback?key=s3cret").parse().unwrap(),
        accepted_at: UnixMillis(START),
        traceparent: None,
    }
}

/// Returns the outcome of a message that is decided `allowed` at this time.
pub fn decided(key_text: &str, message: SessionMessage, at: UnixMillis) -> Outcome {
    Outcome::Decided(DecidedMessage {
        key: key(key_text),
        message,
        decision: Decision::answered(DecisionStatus::Allowed),
        decided_at: at,
        late: false,
    })
}

/// Returns the outcome of a message that cannot be decoded.
pub fn poison(key_text: &str) -> Outcome {
    Outcome::Poison(PoisonMessage {
        key: key(key_text),
        body: b"\xff not \0 json".to_vec(),
        reason: MessageDecodeError::NotAnObject,
        found_at: UnixMillis(START),
    })
}

/// Records outcomes that are each the first decision of their request, and returns the callbacks leased by that.
pub async fn record_first(store: &dyn Store, outcomes: Vec<Outcome>) -> Vec<CallbackJob> {
    let verdicts = store.record(&outcomes).await.unwrap();
    assert!(verdicts.iter().all(|verdict| *verdict == RecordVerdict::Decided), "{verdicts:?}");
    outcomes.into_iter().map(first_attempt).collect()
}

/// Returns the first attempt of a recorded decision.
pub fn first_attempt(outcome: Outcome) -> CallbackJob {
    match outcome {
        Outcome::Decided(decided) => CallbackJob::first_attempt(decided),
        Outcome::Poison(poison) => panic!("expected a decision, not {poison:?}"),
    }
}

/// Returns the report of an attempt that began at this time and took 12 ms.
pub fn report(job: &CallbackJob, at: UnixMillis, result: AttemptResult, next: AfterAttempt) -> AttemptReport {
    AttemptReport {
        request_id: job.request_id,
        attempt: job.attempt,
        started_at: at,
        took: Duration::from_millis(12),
        result,
        next,
    }
}

/// Returns the report of a delivery.
pub fn delivered(job: &CallbackJob, at: UnixMillis) -> AttemptReport {
    report(job, at, AttemptResult::Answered(200), AfterAttempt::Delivered)
}

/// Returns the limits of a claim by a worker without attempts in flight.
pub fn limits(total: usize, per_host: usize) -> ClaimLimits {
    ClaimLimits { total, per_host, under_way: [].into() }
}

/// Returns the number of an attempt.
pub fn attempt(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}
