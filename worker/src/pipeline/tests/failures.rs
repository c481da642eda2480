//! Failing engines and redelivered messages.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{DecisionStatus, SessionMessage};

use super::{PipelineHarness, settings};
use chargegate_storage::testing::{JournalEvent, eventually, message, queue_unavailable, store_unavailable};
use chargegate_storage::{QueueError, StoreError};

const CALL_TIME: Duration = Duration::from_millis(20);

fn allowing() -> FakeAuthorizer {
    FakeAuthorizer::always(CALL_TIME, Ok(DecisionStatus::Allowed))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_while_the_store_fails_and_nothing_is_lost() {
    let harness = PipelineHarness::start_with(settings(64, 16), allowing(), |_, store, _| {
        store.fail_records((0..7).map(|n| if n % 2 == 0 { store_unavailable() } else { StoreError::Full }));
    });
    harness.enqueue(0..200);
    harness.drained(Duration::from_mins(1)).await;
    assert_eq!(harness.store.decided(), 200);
    assert_eq!(harness.acl.calls(), 200, "one call per message");
    assert_eq!(harness.store.repeats(), (0, 0), "no second decision was attempted");
    assert!(harness.queue.most_leased() <= 64, "pulling stops while the store is down");
    assert!(harness.pipeline.is_running());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pulled_while_the_store_is_down() {
    let harness = PipelineHarness::start_with(settings(64, 16), allowing(), |_, store, _| {
        store.fail_records((0..20).map(|_| store_unavailable()));
    });
    harness.enqueue(0..1);
    eventually(Duration::from_secs(5), || harness.store.failures_left() < 20).await;
    // The lease in flight when the outage was detected still returns messages.
    harness.enqueue(1..2);
    eventually(Duration::from_secs(5), || harness.queue.leased() == 2).await;
    harness.enqueue(2..50);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(harness.store.failures_left() > 0, "the store is still down");
    assert_eq!(harness.queue.leased(), 2, "62 permits of the window are free");
    harness.drained(Duration::from_mins(2)).await;
    assert_eq!(harness.store.decided(), 50);
}

#[tokio::test(start_paused = true)]
async fn pulling_stops_while_the_store_hangs() {
    let harness = PipelineHarness::start_with(settings(16, 8), allowing(), |_, store, _| store.hang());
    harness.enqueue(0..100);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((harness.queue.len(), harness.queue.leased()), (100, 16));
    assert!(harness.acl.calls() <= 16);
}

#[tokio::test(start_paused = true)]
async fn a_decision_committed_after_the_deadline_is_late() {
    // The waits between writes grow to 5 s: twenty of them outlast the deadline of 10 s.
    let harness = PipelineHarness::start_with(settings(16, 8), allowing(), |_, store, _| {
        store.fail_records((0..20).map(|_| store_unavailable()));
    });
    harness.enqueue(0..3);
    harness.drained(Duration::from_mins(5)).await;
    assert!(
        harness
            .store
            .decisions()
            .iter()
            .all(|decided| decided.late && decided.decision.status == DecisionStatus::Allowed)
    );
}

#[tokio::test(start_paused = true)]
async fn leasing_resumes_after_a_queue_outage() {
    let harness = PipelineHarness::start_with(settings(16, 8), allowing(), |queue, _, _| {
        queue.fail_leases((0..6).map(|_| queue_unavailable()));
    });
    harness.enqueue(0..50);
    harness.drained(Duration::from_mins(1)).await;
    assert_eq!(harness.store.decided(), 50);
    assert!(harness.pipeline.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_lost_ack_causes_a_redelivery_but_no_second_decision() {
    let harness = PipelineHarness::start_with(settings(16, 8), allowing(), |queue, _, _| {
        queue.fail_acks([queue_unavailable()]);
    });
    harness.enqueue(0..5);
    eventually(Duration::from_secs(5), || harness.store.decided() == 5).await;
    assert_eq!(harness.queue.len(), 5);
    harness.queue.end_leases();
    harness.drained(Duration::from_secs(5)).await;
    assert_eq!(harness.store.repeats(), (0, 5));
    assert_eq!(harness.store.count(|_| true), 5, "one callback each");
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_twice_at_once_gets_one_decision() {
    let harness = PipelineHarness::start(
        settings(16, 8),
        FakeAuthorizer::always(Duration::from_secs(1), Ok(DecisionStatus::Allowed)),
    );
    harness.enqueue([1]);
    eventually(Duration::from_millis(500), || harness.acl.in_flight() == 1).await;
    harness.queue.end_leases();
    eventually(Duration::from_millis(800), || harness.acl.in_flight() == 2).await;
    eventually(Duration::from_secs(5), || harness.store.repeats() == (0, 1)).await;
    assert_eq!((harness.store.decided(), harness.queue.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_sent_twice_gets_one_decision() {
    let harness = PipelineHarness::start(
        settings(16, 8),
        FakeAuthorizer::new(|n| {
            (CALL_TIME, Ok(if n == 0 { DecisionStatus::Allowed } else { DecisionStatus::NotAllowed }))
        }),
    );
    let asked = message(1, harness.now());
    harness.decide(&asked).await;
    let again = SessionMessage { accepted_at: harness.now(), ..asked };
    let (decision, _) = harness.decide(&again).await;
    assert_eq!(decision.status, DecisionStatus::Allowed, "the first decision is kept");
    assert_eq!(harness.store.repeats(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_queue_error_ends_the_pipeline() {
    for error in [QueueError::Closed] {
        let harness = PipelineHarness::start_with(settings(16, 8), allowing(), |queue, _, _| {
            queue.fail_leases([error]);
        });
        eventually(Duration::from_secs(1), || !harness.pipeline.is_running()).await;
        harness.enqueue(0..5);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(harness.queue.len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_store_error_ends_the_pipeline_and_its_pulling() {
    for error in [StoreError::Closed, StoreError::Unreadable("a newer schema")] {
        let harness = PipelineHarness::start_with(settings(16, 8), allowing(), |_, store, _| {
            store.fail_records([error]);
        });
        harness.enqueue(0..200);
        eventually(Duration::from_secs(1), || !harness.pipeline.is_running()).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(harness.queue.len(), 200, "nothing was acknowledged");
        assert!(
            harness.acl.calls() <= 32,
            "no calls are made for decisions that cannot be recorded: {}",
            harness.acl.calls()
        );
        assert!(!harness.journal.events().iter().any(|event| matches!(event, JournalEvent::Acknowledged(_))));
        harness.pipeline.stop().await;
    }
}
