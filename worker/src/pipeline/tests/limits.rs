//! Slots, window and retry budget.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{Decision, DecisionReason, DecisionStatus};

use super::{PipelineHarness, settings};
use crate::authorizer::AclCallError;
use chargegate_storage::testing::message;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn calls_in_flight_never_exceed_the_slots() {
    let acl = FakeAuthorizer::new(|n| match n % 5 {
        0 => (Duration::from_millis(20), Err(AclCallError::Status(500))),
        step => (Duration::from_millis(u64::try_from(step).unwrap() * 10), Ok(DecisionStatus::Allowed)),
    });
    let harness = PipelineHarness::start(settings(256, 7), acl);
    harness.enqueue(0..600);
    harness.drained(DEADLINE).await;
    assert_eq!(harness.acl.most_in_flight(), 7, "exactly every slot was used");
    assert_eq!(harness.store.decided(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_hung_service_never_stops_the_drain() {
    let harness = PipelineHarness::start(settings(64, 16), FakeAuthorizer::hung());
    // Twenty times the window: half of it at once, and the rest over time.
    harness.enqueue(0..640);
    for n in 640..1280 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        harness.enqueue([n]);
    }
    harness.drained(DEADLINE).await;
    assert_eq!(harness.store.decided(), 1280);
    harness.assert_decided_within(DEADLINE);
    assert_eq!((harness.queue.most_leased(), harness.acl.most_in_flight()), (64, 16));
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_slot_at_its_shed_time_is_shed() {
    // The fourth call lasts from 5.7 s to 7.6 s; the shed time is in between.
    let acl = FakeAuthorizer::always(Duration::from_millis(1900), Ok(DecisionStatus::Allowed));
    let harness = PipelineHarness::start(settings(64, 1), acl);
    harness.enqueue(0..20);
    tokio::time::sleep(Duration::from_millis(7550)).await;
    assert_eq!(harness.acl.in_flight(), 1);
    let decisions = harness.store.decisions();
    assert!(decisions.len() >= 16, "{} are decided", decisions.len());
    harness.drained(DEADLINE).await;
    harness.assert_decided_within(DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_slot_for_every_message_does_not_stop_the_drain() {
    let harness = PipelineHarness::start(settings(16, 16), FakeAuthorizer::hung());
    harness.enqueue(0..640);
    harness.drained(Duration::from_secs(30)).await;
    harness.assert_decided_within(DEADLINE);
    assert!(harness.acl.most_in_flight() <= 16);
}

#[tokio::test(start_paused = true)]
async fn retries_stay_within_their_budget() {
    for (took, failure) in [
        (0, AclCallError::Unreachable),
        (1, AclCallError::Unreadable),
        (50, AclCallError::Status(500)),
        (5000, AclCallError::TimedOut),
    ] {
        let acl = FakeAuthorizer::always(Duration::from_millis(took), Err(failure));
        let harness = PipelineHarness::start(settings(512, 64), acl);
        for batch in 0..20 {
            harness.enqueue(batch * 50..batch * 50 + 50);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        harness.drained(DEADLINE).await;
        assert_eq!(harness.store.decided(), 1000);
        assert!(harness.acl.calls() <= 1000 + 100 + 10, "{failure:?}: {} calls", harness.acl.calls());
        // Calls without a response open the breaker, which permits less than the budget.
        if matches!(failure, AclCallError::Status(_) | AclCallError::Unreadable) {
            assert!(
                harness.acl.calls() >= 1050,
                "{failure:?}: retries are made, {} calls",
                harness.acl.calls()
            );
        }
        harness.assert_decided_within(DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn an_overdue_backlog_is_decided_at_once_and_counted_late() {
    let harness = PipelineHarness::start_with(settings(256, 4), FakeAuthorizer::hung(), |queue, _, now| {
        for n in 0..10_000 {
            queue.enqueue(&message(n, now.minus(Duration::from_hours(3))));
        }
    });
    harness.drained(Duration::from_secs(1)).await;
    let decisions = harness.store.decisions();
    assert_eq!(decisions.len(), 10_000);
    let overdue = Decision::unknown(DecisionReason::Expired);
    assert!(decisions.iter().all(|decided| decided.late && decided.decision == overdue));
    assert_eq!(harness.acl.calls(), 0);
    assert!(harness.queue.most_leased() <= 256, "a backlog never fills memory");
}
