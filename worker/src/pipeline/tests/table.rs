//! The decision table, row by row.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{
    Decision, DecisionReason, DecisionStatus, MessageDecodeError, MessageToken, Traceparent,
};

use super::{PipelineHarness, settings};
use crate::authorizer::AclCallError;
use chargegate_storage::testing::{CallbackState, TOKEN, message};

const CALL_TIME: Duration = Duration::from_millis(20);

#[track_caller]
fn assert_unknown(found: Decision, reason: DecisionReason) {
    assert_eq!(found, Decision::unknown(reason));
}

#[tokio::test(start_paused = true)]
async fn every_answer_becomes_the_decision() {
    for status in DecisionStatus::ALL {
        let harness = PipelineHarness::start(settings(8, 2), FakeAuthorizer::always(CALL_TIME, Ok(status)));
        let (decision, late) = harness.decide(&message(1, harness.now())).await;
        assert_eq!((decision, late), (Decision::answered(status), false));
        assert_eq!(harness.acl.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_is_invalid_without_a_call() {
    let harness = PipelineHarness::start(settings(8, 2), FakeAuthorizer::hung());
    let malformed = chargegate_core::SessionMessage {
        driver_token: MessageToken::from("short"),
        ..message(1, harness.now())
    };
    assert_eq!(harness.decide(&malformed).await.0, Decision::MALFORMED_TOKEN);
    assert_eq!(harness.acl.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_time_out_end_in_unknown() {
    let harness = PipelineHarness::start(settings(8, 2), FakeAuthorizer::hung());
    assert_unknown(harness.decide(&message(1, harness.now())).await.0, DecisionReason::AclTimeout);
    harness.assert_decided_within(Duration::from_secs(10));
    assert!(harness.acl.calls() > 1, "the call was retried while time allowed");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_end_in_unknown_after_retries() {
    let overloaded = AclCallError::Overloaded { status: 429, retry_after: None };
    for failure in [AclCallError::Status(500), overloaded, AclCallError::Unreadable] {
        let harness = PipelineHarness::start(settings(8, 2), FakeAuthorizer::always(CALL_TIME, Err(failure)));
        assert_unknown(harness.decide(&message(1, harness.now())).await.0, DecisionReason::AclError);
        assert_eq!(harness.acl.calls(), 11, "the reserve of ten retries was spent");
    }
    // The breaker limits calls without a response.
    let unreachable = FakeAuthorizer::always(CALL_TIME, Err(AclCallError::Unreachable));
    let harness = PipelineHarness::start(settings(8, 2), unreachable);
    assert_unknown(harness.decide(&message(1, harness.now())).await.0, DecisionReason::AclError);
    assert!((10..=20).contains(&harness.acl.calls()), "{} calls", harness.acl.calls());
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_retried_and_its_answer_counts() {
    let harness = PipelineHarness::start(
        settings(8, 2),
        FakeAuthorizer::new(|n| {
            (CALL_TIME, if n < 3 { Err(AclCallError::Status(503)) } else { Ok(DecisionStatus::NotAllowed) })
        }),
    );
    assert_eq!(
        harness.decide(&message(1, harness.now())).await.0,
        Decision::answered(DecisionStatus::NotAllowed)
    );
    assert_eq!(harness.acl.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_reason_is_that_of_the_last_call() {
    let harness = PipelineHarness::start(
        settings(8, 2),
        FakeAuthorizer::new(|n| match n {
            0 => (Duration::from_millis(1), Err(AclCallError::Unreachable)),
            _ => (Duration::from_hours(1), Ok(DecisionStatus::Allowed)),
        }),
    );
    assert_unknown(harness.decide(&message(1, harness.now())).await.0, DecisionReason::AclTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_call_starts_only_if_it_fits_before_the_margin() {
    for (age_ms, calls, decision, late) in [
        (7499, 1, Decision::answered(DecisionStatus::Allowed), false),
        (7501, 0, Decision::unknown(DecisionReason::Expired), false),
        (10_000, 0, Decision::unknown(DecisionReason::Expired), false),
        (10_001, 0, Decision::unknown(DecisionReason::Expired), true),
        (86_400_000, 0, Decision::unknown(DecisionReason::Expired), true),
    ] {
        let harness = PipelineHarness::start(
            settings(8, 2),
            FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed)),
        );
        let accepted_at = harness.now().minus(Duration::from_millis(age_ms));
        assert_eq!(harness.decide(&message(1, accepted_at)).await, (decision, late), "{age_ms}");
        assert_eq!(harness.acl.calls(), calls, "{age_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_redelivered_too_often_is_decided_without_a_call() {
    for (deliveries, calls, decision) in [
        (10, 1, Decision::answered(DecisionStatus::Allowed)),
        (11, 0, Decision::unknown(DecisionReason::Redelivered)),
    ] {
        let harness = PipelineHarness::start_with(
            settings(8, 2),
            FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed)),
            |queue, _, now| queue.enqueue_redelivered(&message(1, now), deliveries),
        );
        harness.drained(Duration::from_secs(30)).await;
        assert_eq!(harness.store.decisions().pop().unwrap().decision, decision, "delivery {deliveries}");
        assert_eq!(harness.acl.calls(), calls, "delivery {deliveries}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_in_the_future_counts_as_age_zero() {
    let harness = PipelineHarness::start(settings(8, 2), FakeAuthorizer::hung());
    let begin = harness.now();
    let (decision, late) = harness.decide(&message(1, begin.plus(Duration::from_hours(1)))).await;
    assert_unknown(decision, DecisionReason::AclTimeout);
    assert!(!late);
    assert!(
        harness.now().since(begin) <= Duration::from_secs(10),
        "the monotonic clock counts from the lease on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_skewed_timestamp_is_replaced_by_the_engines() {
    let harness = PipelineHarness::start(
        settings(8, 2),
        FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed)),
    );
    let skewed = message(1, harness.now().minus(Duration::from_hours(1)));
    harness.queue.enqueue_body(skewed.encode().into_bytes(), Some(harness.now()));
    harness.drained(Duration::from_secs(30)).await;
    let decided = harness.store.decisions().pop().unwrap();
    assert_eq!((decided.decision, decided.late), (Decision::answered(DecisionStatus::Allowed), false));
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_message_is_recorded_as_poison_and_acked() {
    let harness = PipelineHarness::start(
        settings(8, 2),
        FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed)),
    );
    let good = message(1, harness.now());
    let bodies: [&[u8]; 4] = [b"", b"\xff\xfe", b"[1]", br#"{"v":2}"#];
    for body in bodies {
        harness.queue.enqueue_body(body.to_vec(), None);
    }
    harness.queue.enqueue(&good);
    harness.drained(Duration::from_secs(5)).await;
    let mut poison = harness.store.poison();
    poison.sort_by(|a, b| a.key.cmp(&b.key));
    assert!(poison.iter().map(|poison| &poison.body[..]).eq(bodies));
    assert_eq!(poison.last().unwrap().reason, MessageDecodeError::Version);
    assert_eq!(harness.store.decided(), 1, "the message behind them was decided");
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_continued_or_started_if_absent() {
    let harness = PipelineHarness::start(
        settings(8, 2),
        FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed)),
    );
    let trace = Traceparent::new([7; 16], [9; 8]);
    harness
        .queue
        .enqueue(&chargegate_core::SessionMessage { traceparent: Some(trace), ..message(1, harness.now()) });
    harness.queue.enqueue(&message(2, harness.now()));
    harness.drained(Duration::from_secs(5)).await;
    let traces: Vec<_> = harness.store.decisions().iter().map(|d| d.message.traceparent.unwrap()).collect();
    assert_eq!(traces[0], trace);
    assert_ne!(traces[1].trace_id(), trace.trace_id());
}

#[tokio::test(start_paused = true)]
async fn a_callback_without_a_permit_is_released_to_the_store() {
    let harness = PipelineHarness::start(
        settings(8, 2),
        FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed)),
    );
    let asked = message(1, harness.now());
    harness.decide(&asked).await;
    assert!(matches!(harness.store.callback(asked.id), Some(CallbackState::Due(_))));
    let decided = harness.store.decisions().pop().unwrap();
    assert_eq!(decided.message.driver_token.as_str(), TOKEN);
}
