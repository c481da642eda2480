//! Slots, window and retry budget.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{Decision, DecisionReason, DecisionStatus};

use super::{Line, settings};
use crate::authorizer::AclCallError;
use chargegate_storage::testing::message;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn calls_in_flight_never_exceed_the_slots() {
    let acl = FakeAuthorizer::new(|n| match n % 5 {
        0 => (Duration::from_millis(20), Err(AclCallError::Status(500))),
        step => (Duration::from_millis(u64::try_from(step).unwrap() * 10), Ok(DecisionStatus::Allowed)),
    });
    let line = Line::start(settings(256, 7), acl);
    line.enqueue(0..600);
    line.drained(DEADLINE).await;
    assert_eq!(line.acl.most_in_flight(), 7, "every slot was used, and not one more");
    assert_eq!(line.store.decided(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_hung_service_never_stops_the_drain() {
    let line = Line::start(settings(64, 16), FakeAuthorizer::hung());
    // Twenty times the window, a part of it at once and the rest as time goes by.
    line.enqueue(0..640);
    for n in 640..1280 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        line.enqueue([n]);
    }
    line.drained(DEADLINE).await;
    assert_eq!(line.store.decided(), 1280);
    line.assert_decided_within(DEADLINE);
    assert_eq!((line.queue.most_leased(), line.acl.most_in_flight()), (64, 16));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_slot_by_its_shed_time_is_shed_without_one() {
    // The one slot is taken from the sixth second to the eighth, and the shed time lies between.
    let line = Line::start(settings(64, 1), FakeAuthorizer::hung());
    line.enqueue(0..20);
    tokio::time::sleep(Duration::from_millis(7600)).await;
    assert_eq!(line.acl.in_flight(), 1);
    let decisions = line.store.decisions();
    assert!(decisions.len() >= 16, "{} are decided", decisions.len());
    line.drained(DEADLINE).await;
    line.assert_decided_within(DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn slots_for_the_whole_window_leave_room_for_the_drain_too() {
    let line = Line::start(settings(16, 16), FakeAuthorizer::hung());
    line.enqueue(0..640);
    line.drained(Duration::from_secs(30)).await;
    line.assert_decided_within(DEADLINE);
    assert!(line.acl.most_in_flight() <= 16);
}

#[tokio::test(start_paused = true)]
async fn retries_stay_within_their_budget() {
    for (took, failure) in
        [(0, AclCallError::Unreachable), (50, AclCallError::Status(500)), (5000, AclCallError::TimedOut)]
    {
        let acl = FakeAuthorizer::always(Duration::from_millis(took), Err(failure));
        let line = Line::start(settings(512, 64), acl);
        for batch in 0..20 {
            line.enqueue(batch * 50..batch * 50 + 50);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        line.drained(DEADLINE).await;
        assert_eq!(line.store.decided(), 1000);
        assert!(line.acl.calls() <= 1000 + 100 + 10, "{failure:?}: {} calls", line.acl.calls());
        assert!(line.acl.calls() >= 1050, "{failure:?}: retries are made, {} calls", line.acl.calls());
        line.assert_decided_within(DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_long_stop_left_overdue_is_decided_at_once_and_counted_late() {
    let line = Line::start_with(settings(256, 4), FakeAuthorizer::hung(), |queue, _, now| {
        for n in 0..10_000 {
            queue.enqueue(&message(n, now.minus(Duration::from_hours(3))));
        }
    });
    line.drained(Duration::from_secs(1)).await;
    let decisions = line.store.decisions();
    assert_eq!(decisions.len(), 10_000);
    let overdue = Decision::unknown(DecisionReason::Expired);
    assert!(decisions.iter().all(|decided| decided.late && decided.decision == overdue));
    assert_eq!(line.acl.calls(), 0);
    assert!(line.queue.most_leased() <= 256, "a backlog never fills memory");
}
