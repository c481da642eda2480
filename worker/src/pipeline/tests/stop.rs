//! Shutdown: work in progress is finished, the rest is released.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{Decision, DecisionStatus};

use super::{Line, settings};
use crate::authorizer::AclCallError;
use chargegate_storage::StoreError;
use chargegate_storage::testing::{JournalEvent, eventually, queue_unavailable};

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_calls_in_flight_and_hands_back_what_waits_for_a_slot() {
    let line = Line::start(
        settings(16, 2),
        FakeAuthorizer::always(Duration::from_secs(1), Ok(DecisionStatus::Allowed)),
    );
    line.enqueue(0..10);
    eventually(Duration::from_secs(1), || line.queue.leased() == 10).await;
    eventually(Duration::from_secs(1), || line.acl.in_flight() == 2).await;
    line.pipeline.stop().await;

    assert_eq!(line.acl.calls(), 2, "no call was begun after the stop");
    assert_eq!((line.store.decided(), line.queue.len(), line.queue.leased()), (2, 8, 0));
    let released =
        line.journal.events().iter().filter(|event| matches!(event, JournalEvent::Released(_))).count();
    assert_eq!(released, 8);
    line.journal.assert_recorded_before_acknowledged();
}

#[tokio::test(start_paused = true)]
async fn a_stop_with_an_empty_queue_is_quick() {
    let line = Line::start(settings(16, 2), FakeAuthorizer::hung());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let begin = tokio::time::Instant::now();
    line.pipeline.stop().await;
    assert!(begin.elapsed() <= Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_call_failed_is_decided_not_asked_again() {
    let line = Line::start(
        settings(16, 2),
        FakeAuthorizer::always(Duration::from_secs(1), Err(AclCallError::Unreachable)),
    );
    line.enqueue([1]);
    eventually(Duration::from_millis(500), || line.acl.in_flight() == 1).await;
    line.pipeline.stop().await;
    assert_eq!(line.acl.calls(), 1);
    let decided = line.store.decisions().pop().unwrap();
    assert_eq!(decided.decision, Decision::unknown(AclCallError::Unreachable.reason()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_queue_that_is_down() {
    let line = Line::start_with(settings(16, 2), FakeAuthorizer::hung(), |queue, _, _| {
        queue.fail_leases((0..1_000_000).map(|_| queue_unavailable()));
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    let begin = tokio::time::Instant::now();
    line.pipeline.stop().await;
    assert!(begin.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_store_is_down_waits_for_it_until_abandoned() {
    let line = Line::start_with(
        settings(16, 4),
        FakeAuthorizer::always(Duration::from_millis(20), Ok(DecisionStatus::Allowed)),
        |_, store, _| store.fail_records((0..1_000_000).map(|_| StoreError::Full)),
    );
    line.enqueue(0..4);
    eventually(Duration::from_secs(1), || line.acl.calls() == 4).await;
    let abandon = line.abandon.clone();
    let stopping = tokio::spawn(line.pipeline.stop());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!stopping.is_finished(), "what was decided is still to be recorded");
    abandon.cancel();
    stopping.await.unwrap();
    assert_eq!((line.store.decided(), line.queue.len()), (0, 4), "left to the leases");
}
