//! Protection of the authorization service by all workers of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{Decision, DecisionReason, DecisionStatus};
use chargegate_storage::StoreError;
use chargegate_storage::fleet::{FleetStore, LocalFleet, StoredFleet};
use chargegate_storage::testing::{eventually, store_unavailable};
use tokio::time::{Instant, sleep};

use super::{PipelineHarness, settings};
use crate::authorizer::AclCallError;
use crate::fake_authorizer::FakeAuthorizer;

const CALL_TIME: Duration = Duration::from_millis(100);
const ALLOWED: Result<DecisionStatus, AclCallError> = Ok(DecisionStatus::Allowed);

/// A shared state that can fail.
struct FaultyFleet {
    fleet: LocalFleet,
    fails: AtomicBool,
}

#[async_trait]
impl FleetStore for FaultyFleet {
    async fn load_fleet(&self) -> Result<StoredFleet, StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(store_unavailable());
        }
        self.fleet.load_fleet().await
    }

    async fn replace_fleet(&self, version: u64, text: &str) -> Result<bool, StoreError> {
        self.fleet.replace_fleet(version, text).await
    }
}

/// Returns the number of requests that the service allowed.
fn allowed_by(harness: &PipelineHarness) -> usize {
    let allowed = Decision::answered(DecisionStatus::Allowed);
    harness.store.decisions().iter().filter(|decided| decided.decision == allowed).count()
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_its_slot_while_the_service_may_work_on_it() {
    // Each fails after two seconds, or is cut by its time-out then.
    let failures = [AclCallError::TimedOut, AclCallError::Cut, AclCallError::Status(504)];
    for failure in failures {
        let first = (Duration::from_secs(2), Err(failure));
        let acl = FakeAuthorizer::new(move |n| if n == 0 { first } else { (CALL_TIME, ALLOWED) });
        let harness = PipelineHarness::start(settings(16, 1), acl);
        harness.enqueue(0..2);
        sleep(Duration::from_millis(3900)).await;
        assert_eq!((harness.acl.calls(), harness.acl.in_flight()), (1, 0), "{failure:?}");
        eventually(Duration::from_secs(1), || harness.acl.calls() > 1).await;
        harness.drained(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_shows_nothing_about_the_service() {
    // Answers take so long that the end of the lease cuts every slot's last call.
    let acl = Arc::new(FakeAuthorizer::always(Duration::from_millis(1900), ALLOWED));
    let fleet = Arc::new(FaultyFleet { fleet: LocalFleet::new(), fails: AtomicBool::new(false) });
    let harness =
        PipelineHarness::start_in_fleet(0, settings(4096, 32), acl.clone(), fleet.clone(), |_, _, _| {});
    harness.enqueue(0..500);
    sleep(Duration::from_millis(500)).await;
    fleet.fails.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(7)).await;
    fleet.fails.store(false, Ordering::SeqCst);
    harness.enqueue(500..600);
    eventually(Duration::from_secs(3), || acl.in_flight() == 32).await;
}

#[tokio::test(start_paused = true)]
async fn workers_of_one_store_share_the_slots() {
    let acl = Arc::new(FakeAuthorizer::always(CALL_TIME, ALLOWED));
    let fleet = Arc::new(LocalFleet::new());
    let start =
        |n| PipelineHarness::start_in_fleet(n, settings(512, 8), acl.clone(), fleet.clone(), |_, _, _| {});
    let workers = [start(0), start(1), start(2)];
    for worker in &workers {
        worker.enqueue(0..400);
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(acl.in_flight(), 8, "every slot is used");
    assert!(workers.iter().all(|worker| worker.store.decided() > 0));
    // The slots of a worker that stops pass to the others.
    let [first, second, third] = workers;
    first.pipeline.stop().await;
    second.pipeline.stop().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(acl.in_flight(), 8, "the last worker uses every slot");
    assert_eq!(acl.most_in_flight(), 8);
    assert!(third.pipeline.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_slot_leases_nothing_while_another_has_one() {
    let acl = Arc::new(FakeAuthorizer::always(CALL_TIME, ALLOWED));
    let fleet = Arc::new(LocalFleet::new());
    let start =
        |n| PipelineHarness::start_in_fleet(n, settings(16, 1), acl.clone(), fleet.clone(), |_, _, _| {});
    let workers = [start(0), start(1)];
    sleep(Duration::from_millis(1100)).await;
    for worker in &workers {
        worker.enqueue(0..16);
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(workers.iter().filter(|worker| worker.queue.leased() == 0).count(), 1);
    // Each has its turn, so that no message waits until it is shed.
    for worker in &workers {
        worker.drained(Duration::from_secs(30)).await;
    }
    assert_eq!(acl.most_in_flight(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_renewed_share_calls_stop_until_the_store_works_again() {
    let acl = Arc::new(FakeAuthorizer::always(CALL_TIME, ALLOWED));
    let fleet = Arc::new(FaultyFleet { fleet: LocalFleet::new(), fails: AtomicBool::new(false) });
    let harness =
        PipelineHarness::start_in_fleet(0, settings(4096, 4), acl.clone(), fleet.clone(), |_, _, _| {});
    harness.enqueue(0..1000);
    sleep(Duration::from_secs(1)).await;
    fleet.fails.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    let calls = acl.calls();
    sleep(Duration::from_secs(1)).await;
    assert_eq!((acl.calls(), acl.in_flight()), (calls, 0));
    fleet.fails.store(false, Ordering::SeqCst);
    harness.enqueue(1000..1010);
    eventually(Duration::from_secs(3), || acl.calls() > calls).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_respond_is_only_probed() {
    let acl = FakeAuthorizer::always(Duration::from_millis(1), Err(AclCallError::Unreachable));
    let harness = PipelineHarness::start(settings(512, 8), acl);
    harness.enqueue(0..200);
    harness.drained(Duration::from_secs(10)).await;
    harness.assert_decided_within(Duration::from_secs(10));
    // Ten calls open the breaker while eight are in flight; then about one begins each second until the shed time.
    assert!(harness.acl.calls() <= 10 + 8 + 11, "{} calls", harness.acl.calls());
    let decisions = harness.store.decisions();
    let unavailable = Decision::unknown(DecisionReason::AclUnavailable);
    let without_call = decisions.iter().filter(|decided| decided.decision == unavailable).count();
    assert!(without_call >= 200 - harness.acl.calls(), "{without_call} decisions");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_service_decides_nothing() {
    for failure in [AclCallError::Unreachable, AclCallError::Cut] {
        let start = Instant::now();
        let acl = FakeAuthorizer::new(move |_| {
            let is_down = start.elapsed() < Duration::from_secs(1);
            if is_down { (Duration::from_millis(1), Err(failure)) } else { (CALL_TIME, ALLOWED) }
        });
        let harness = PipelineHarness::start(settings(64, 32), acl);
        harness.enqueue(0..32);
        harness.drained(Duration::from_secs(10)).await;
        assert_eq!(allowed_by(&harness), 32, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_pauses_all_calls() {
    let refusal = AclCallError::Overloaded { status: 503, retry_after: Some(Duration::from_secs(3)) };
    let acl = FakeAuthorizer::new(move |n| (CALL_TIME, if n == 0 { Err(refusal) } else { ALLOWED }));
    let harness = PipelineHarness::start(settings(16, 1), acl);
    harness.enqueue(0..4);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(harness.acl.calls(), 1);
    harness.drained(Duration::from_secs(5)).await;
    assert_eq!(allowed_by(&harness), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_sent_costs_no_retry_budget() {
    let acl = FakeAuthorizer::new(|n| {
        (Duration::from_millis(1), if n < 300 { Err(AclCallError::NotSent) } else { ALLOWED })
    });
    let harness = PipelineHarness::start(settings(64, 8), acl);
    harness.enqueue(0..50);
    harness.drained(Duration::from_secs(10)).await;
    assert_eq!(allowed_by(&harness), 50);
}
