//! Engines that fail, and messages that come twice.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{DecisionStatus, SessionMessage};

use super::{Line, settings};
use chargegate_storage::testing::{JournalEvent, eventually, message, queue_unavailable, store_unavailable};
use chargegate_storage::{QueueError, StoreError};

const ANSWER: Duration = Duration::from_millis(20);

fn allowing() -> FakeAuthorizer {
    FakeAuthorizer::always(ANSWER, Ok(DecisionStatus::Allowed))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_while_the_store_fails_and_nothing_is_lost() {
    let line = Line::start_with(settings(64, 16), allowing(), |_, store, _| {
        store.fail_records((0..7).map(|n| if n % 2 == 0 { store_unavailable() } else { StoreError::Full }));
    });
    line.enqueue(0..200);
    line.drained(Duration::from_mins(1)).await;
    assert_eq!(line.store.decided(), 200);
    assert_eq!(line.acl.calls(), 200, "each was asked once");
    assert_eq!(line.store.repeats(), (0, 0), "no second decision was even tried");
    assert!(line.queue.most_leased() <= 64, "pulling stops while the store is down");
    assert!(line.pipeline.is_running());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pulled_while_the_store_is_down() {
    let line = Line::start_with(settings(64, 16), allowing(), |_, store, _| {
        store.fail_records((0..20).map(|_| store_unavailable()));
    });
    line.enqueue(0..1);
    eventually(Duration::from_secs(5), || line.store.failures_left() < 20).await;
    // The lease under way when the outage was noticed still takes what it finds.
    line.enqueue(1..2);
    eventually(Duration::from_secs(5), || line.queue.leased() == 2).await;
    line.enqueue(2..50);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(line.store.failures_left() > 0, "it is still down");
    assert_eq!(line.queue.leased(), 2, "62 places are free");
    line.drained(Duration::from_mins(2)).await;
    assert_eq!(line.store.decided(), 50);
}

#[tokio::test(start_paused = true)]
async fn pulling_stops_while_the_store_hangs() {
    let line = Line::start_with(settings(16, 8), allowing(), |_, store, _| store.hang());
    line.enqueue(0..100);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((line.queue.len(), line.queue.leased()), (100, 16));
    assert!(line.acl.calls() <= 16);
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_commit_comes_after_the_deadline_is_late() {
    // The waits between writes grow to 5 s: twenty of them outlast the deadline of 10 s.
    let line = Line::start_with(settings(16, 8), allowing(), |_, store, _| {
        store.fail_records((0..20).map(|_| store_unavailable()));
    });
    line.enqueue(0..3);
    line.drained(Duration::from_mins(5)).await;
    assert!(
        line.store
            .decisions()
            .iter()
            .all(|decided| decided.late && decided.decision.status == DecisionStatus::Allowed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fails_for_a_while_is_asked_again() {
    let line = Line::start_with(settings(16, 8), allowing(), |queue, _, _| {
        queue.fail_leases((0..6).map(|_| queue_unavailable()));
    });
    line.enqueue(0..50);
    line.drained(Duration::from_mins(1)).await;
    assert_eq!(line.store.decided(), 50);
    assert!(line.pipeline.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_delivers_again_but_decides_once() {
    let line = Line::start_with(settings(16, 8), allowing(), |queue, _, _| {
        queue.fail_acks([queue_unavailable()]);
    });
    line.enqueue(0..5);
    eventually(Duration::from_secs(5), || line.store.decided() == 5).await;
    assert_eq!(line.queue.len(), 5);
    line.queue.end_leases();
    line.drained(Duration::from_secs(5)).await;
    assert_eq!(line.store.repeats(), (0, 5));
    assert_eq!(line.store.count(|_| true), 5, "one callback each");
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_twice_at_once_gets_one_decision() {
    let line = Line::start(
        settings(16, 8),
        FakeAuthorizer::always(Duration::from_secs(1), Ok(DecisionStatus::Allowed)),
    );
    line.enqueue([1]);
    eventually(Duration::from_millis(500), || line.acl.in_flight() == 1).await;
    line.queue.end_leases();
    eventually(Duration::from_millis(800), || line.acl.in_flight() == 2).await;
    eventually(Duration::from_secs(5), || line.store.repeats() == (0, 1)).await;
    assert_eq!((line.store.decided(), line.queue.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_sent_twice_gets_one_decision() {
    let line = Line::start(
        settings(16, 8),
        FakeAuthorizer::new(|n| {
            (ANSWER, Ok(if n == 0 { DecisionStatus::Allowed } else { DecisionStatus::NotAllowed }))
        }),
    );
    let asked = message(1, line.now());
    line.decide(&asked).await;
    let again = SessionMessage { accepted_at: line.now(), ..asked };
    let (decision, _) = line.decide(&again).await;
    assert_eq!(decision.status, DecisionStatus::Allowed, "the first decision stands");
    assert_eq!(line.store.repeats(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_needs_a_human_ends_the_pipeline() {
    for error in [QueueError::Closed] {
        let line = Line::start_with(settings(16, 8), allowing(), |queue, _, _| queue.fail_leases([error]));
        eventually(Duration::from_secs(1), || !line.pipeline.is_running()).await;
        line.enqueue(0..5);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(line.queue.len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_needs_a_human_ends_the_pipeline_and_its_pulling() {
    for error in [StoreError::Closed, StoreError::Unreadable("a newer schema")] {
        let line = Line::start_with(settings(16, 8), allowing(), |_, store, _| store.fail_records([error]));
        line.enqueue(0..200);
        eventually(Duration::from_secs(1), || !line.pipeline.is_running()).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(line.queue.len(), 200, "nothing was acknowledged");
        assert!(line.acl.calls() <= 32, "nobody is asked for what cannot be recorded: {}", line.acl.calls());
        assert!(!line.journal.events().iter().any(|event| matches!(event, JournalEvent::Acknowledged(_))));
        line.pipeline.stop().await;
    }
}
