//! Shutdown: work in progress is finished, the rest is released.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{Decision, DecisionStatus};

use super::{PipelineHarness, settings};
use crate::authorizer::AclCallError;
use chargegate_storage::StoreError;
use chargegate_storage::testing::{JournalEvent, eventually, queue_unavailable};

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_calls_in_flight_and_releases_waiting_messages() {
    let harness = PipelineHarness::start(
        settings(16, 2),
        FakeAuthorizer::always(Duration::from_secs(1), Ok(DecisionStatus::Allowed)),
    );
    harness.enqueue(0..10);
    eventually(Duration::from_secs(1), || harness.queue.leased() == 10).await;
    eventually(Duration::from_secs(1), || harness.acl.in_flight() == 2).await;
    harness.pipeline.stop().await;

    assert_eq!(harness.acl.calls(), 2, "no call was begun after the stop");
    assert_eq!((harness.store.decided(), harness.queue.len(), harness.queue.leased()), (2, 8, 0));
    let released =
        harness.journal.events().iter().filter(|event| matches!(event, JournalEvent::Released(_))).count();
    assert_eq!(released, 8);
    harness.journal.assert_recorded_before_acknowledged();
}

#[tokio::test(start_paused = true)]
async fn a_stop_with_an_empty_queue_is_quick() {
    let harness = PipelineHarness::start(settings(16, 2), FakeAuthorizer::hung());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let begin = tokio::time::Instant::now();
    harness.pipeline.stop().await;
    assert!(begin.elapsed() <= Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_during_a_stop_is_not_retried() {
    let harness = PipelineHarness::start(
        settings(16, 2),
        FakeAuthorizer::always(Duration::from_secs(1), Err(AclCallError::Unreachable)),
    );
    harness.enqueue([1]);
    eventually(Duration::from_millis(500), || harness.acl.in_flight() == 1).await;
    harness.pipeline.stop().await;
    assert_eq!(harness.acl.calls(), 1);
    let decided = harness.store.decisions().pop().unwrap();
    assert_eq!(decided.decision, Decision::unknown(AclCallError::Unreachable.reason()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_queue_that_is_down() {
    let harness = PipelineHarness::start_with(settings(16, 2), FakeAuthorizer::hung(), |queue, _, _| {
        queue.fail_leases((0..1_000_000).map(|_| queue_unavailable()));
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    let begin = tokio::time::Instant::now();
    harness.pipeline.stop().await;
    assert!(begin.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_failing_store_until_abandoned() {
    let harness = PipelineHarness::start_with(
        settings(16, 4),
        FakeAuthorizer::always(Duration::from_millis(20), Ok(DecisionStatus::Allowed)),
        |_, store, _| store.fail_records((0..1_000_000).map(|_| StoreError::Full)),
    );
    harness.enqueue(0..4);
    eventually(Duration::from_secs(1), || harness.acl.calls() == 4).await;
    let abandon = harness.abandon.clone();
    let stopping = tokio::spawn(harness.pipeline.stop());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!stopping.is_finished(), "the decisions are not yet recorded");
    abandon.cancel();
    stopping.await.unwrap();
    assert_eq!((harness.store.decided(), harness.queue.len()), (0, 4), "the leases release the messages");
}
