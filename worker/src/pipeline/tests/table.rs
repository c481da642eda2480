//! The decision table, row by row.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{
    Decision, DecisionReason, DecisionStatus, MessageDecodeError, MessageToken, Traceparent,
};

use super::{Line, settings};
use crate::authorizer::AclCallError;
use chargegate_storage::testing::{CallbackState, TOKEN, message};

const MOMENT: Duration = Duration::from_millis(20);

#[track_caller]
fn assert_unknown(found: Decision, reason: DecisionReason) {
    assert_eq!(found, Decision::unknown(reason));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_passed_on_whatever_it_says() {
    for status in DecisionStatus::ALL {
        let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Ok(status)));
        let (decision, late) = line.decide(&message(1, line.now())).await;
        assert_eq!((decision, late), (Decision::answered(status), false));
        assert_eq!(line.acl.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_is_invalid_and_nobody_is_asked() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::hung());
    let malformed = chargegate_core::SessionMessage {
        driver_token: MessageToken::from("short"),
        ..message(1, line.now())
    };
    assert_eq!(line.decide(&malformed).await.0, Decision::MALFORMED_TOKEN);
    assert_eq!(line.acl.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_time_out_end_in_unknown() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::hung());
    assert_unknown(line.decide(&message(1, line.now())).await.0, DecisionReason::AclTimeout);
    line.assert_decided_within(Duration::from_secs(10));
    assert!(line.acl.calls() > 1, "it was asked again while time allowed");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_end_in_unknown_after_retries() {
    for failure in [
        AclCallError::Unreachable,
        AclCallError::Status(500),
        AclCallError::Status(429),
        AclCallError::Unreadable,
    ] {
        let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Err(failure)));
        assert_unknown(line.decide(&message(1, line.now())).await.0, DecisionReason::AclError);
        assert_eq!(line.acl.calls(), 11, "the reserve of ten retries was spent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_made_again_and_its_answer_counts() {
    let line = Line::start(
        settings(8, 2),
        FakeAuthorizer::new(|n| {
            (MOMENT, if n < 3 { Err(AclCallError::Status(503)) } else { Ok(DecisionStatus::NotAllowed) })
        }),
    );
    assert_eq!(line.decide(&message(1, line.now())).await.0, Decision::answered(DecisionStatus::NotAllowed));
    assert_eq!(line.acl.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_reason_is_that_of_the_last_call() {
    let line = Line::start(
        settings(8, 2),
        FakeAuthorizer::new(|n| match n {
            0 => (Duration::from_millis(1), Err(AclCallError::Unreachable)),
            _ => (Duration::from_hours(1), Ok(DecisionStatus::Allowed)),
        }),
    );
    assert_unknown(line.decide(&message(1, line.now())).await.0, DecisionReason::AclTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_call_begins_only_while_a_whole_one_fits_before_the_margin() {
    for (age_ms, calls, decision, late) in [
        (7499, 1, Decision::answered(DecisionStatus::Allowed), false),
        (7501, 0, Decision::unknown(DecisionReason::Expired), false),
        (10_000, 0, Decision::unknown(DecisionReason::Expired), false),
        (10_001, 0, Decision::unknown(DecisionReason::Expired), true),
        (86_400_000, 0, Decision::unknown(DecisionReason::Expired), true),
    ] {
        let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Ok(DecisionStatus::Allowed)));
        let accepted_at = line.now().minus(Duration::from_millis(age_ms));
        assert_eq!(line.decide(&message(1, accepted_at)).await, (decision, late), "{age_ms}");
        assert_eq!(line.acl.calls(), calls, "{age_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_outlives_its_workers_is_answered_without_another_call() {
    for (deliveries, calls, decision) in [
        (10, 1, Decision::answered(DecisionStatus::Allowed)),
        (11, 0, Decision::unknown(DecisionReason::Redelivered)),
    ] {
        let line = Line::start_with(
            settings(8, 2),
            FakeAuthorizer::always(MOMENT, Ok(DecisionStatus::Allowed)),
            |queue, _, now| queue.enqueue_redelivered(&message(1, now), deliveries),
        );
        line.drained(Duration::from_secs(30)).await;
        assert_eq!(line.store.decisions().pop().unwrap().decision, decision, "delivery {deliveries}");
        assert_eq!(line.acl.calls(), calls, "delivery {deliveries}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_in_the_future_is_age_zero() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::hung());
    let begin = line.now();
    let (decision, late) = line.decide(&message(1, begin.plus(Duration::from_hours(1)))).await;
    assert_unknown(decision, DecisionReason::AclTimeout);
    assert!(!late);
    assert!(
        line.now().since(begin) <= Duration::from_secs(10),
        "the monotonic clock counts from the lease on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_skewed_time_yields_to_the_engines() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Ok(DecisionStatus::Allowed)));
    let skewed = message(1, line.now().minus(Duration::from_hours(1)));
    line.queue.enqueue_body(skewed.encode().into_bytes(), Some(line.now()));
    line.drained(Duration::from_secs(30)).await;
    let decided = line.store.decisions().pop().unwrap();
    assert_eq!((decided.decision, decided.late), (Decision::answered(DecisionStatus::Allowed), false));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_put_aside_whole_and_acknowledged() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Ok(DecisionStatus::Allowed)));
    let good = message(1, line.now());
    let bodies: [&[u8]; 4] = [b"", b"\xff\xfe", b"[1]", br#"{"v":2}"#];
    for body in bodies {
        line.queue.enqueue_body(body.to_vec(), None);
    }
    line.queue.enqueue(&good);
    line.drained(Duration::from_secs(5)).await;
    let mut poison = line.store.poison();
    poison.sort_by(|a, b| a.key.cmp(&b.key));
    assert!(poison.iter().map(|poison| &poison.body[..]).eq(bodies));
    assert_eq!(poison.last().unwrap().reason, MessageDecodeError::Version);
    assert_eq!(line.store.decided(), 1, "the message behind them was decided");
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_carried_on_and_begun_where_there_is_none() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Ok(DecisionStatus::Allowed)));
    let trace = Traceparent::new([7; 16], [9; 8]);
    line.queue
        .enqueue(&chargegate_core::SessionMessage { traceparent: Some(trace), ..message(1, line.now()) });
    line.queue.enqueue(&message(2, line.now()));
    line.drained(Duration::from_secs(5)).await;
    let traces: Vec<_> = line.store.decisions().iter().map(|d| d.message.traceparent.unwrap()).collect();
    assert_eq!(traces[0], trace);
    assert_ne!(traces[1].trace_id(), trace.trace_id());
}

#[tokio::test(start_paused = true)]
async fn a_callback_without_a_place_goes_back_to_the_store() {
    let line = Line::start(settings(8, 2), FakeAuthorizer::always(MOMENT, Ok(DecisionStatus::Allowed)));
    let asked = message(1, line.now());
    line.decide(&asked).await;
    assert!(matches!(line.store.callback(asked.id), Some(CallbackState::Due(_))));
    let decided = line.store.decisions().pop().unwrap();
    assert_eq!(decided.message.driver_token.as_str(), TOKEN);
}
