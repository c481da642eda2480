//! Load at twice the capacity of the authorization service.

use crate::fake_authorizer::FakeAuthorizer;
use std::time::Duration;

use chargegate_core::{DecisionReason, DecisionStatus, SessionMessage};

use super::{PipelineHarness, settings};
use chargegate_storage::testing::message;

const DEADLINE: Duration = Duration::from_secs(10);
const SECONDS: u32 = 60;
/// Ten slots and 100 ms a call.
const CAPACITY_PER_SECOND: u32 = 100;

fn start() -> PipelineHarness {
    PipelineHarness::start(
        settings(4096, 10),
        FakeAuthorizer::always(Duration::from_millis(100), Ok(DecisionStatus::Allowed)),
    )
}

/// Returns the ages at which requests were decided by an answer, in order.
fn answered_ages(harness: &PipelineHarness) -> Vec<Duration> {
    let decisions = harness.store.decisions();
    let answered = decisions.iter().filter(|decided| decided.decision.status == DecisionStatus::Allowed);
    let mut ages: Vec<_> =
        answered.map(|decided| decided.decided_at.since(decided.message.accepted_at)).collect();
    ages.sort_unstable();
    ages
}

#[tokio::test(start_paused = true)]
async fn at_twice_the_capacity_nearly_all_of_it_is_used_for_fresh_requests() {
    let harness = start();
    let arrivals = 2 * CAPACITY_PER_SECOND * SECONDS;
    for n in 0..arrivals {
        harness.enqueue([n]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    harness.drained(2 * DEADLINE).await;

    assert_eq!(u32::try_from(harness.store.decided()).unwrap(), arrivals);
    assert!(harness.acl.most_in_flight() <= 10);
    harness.assert_decided_within(DEADLINE);
    let ages = answered_ages(&harness);
    let share = u32::try_from(ages.len()).unwrap() * 100 / (CAPACITY_PER_SECOND * SECONDS);
    assert!(share >= 95, "{share} % of the capacity");
    let (p50, p99) = (ages[ages.len() / 2], ages[ages.len() * 99 / 100]);
    assert!(p50 < Duration::from_millis(500), "half of the answered requests wait {p50:?} or longer");
    // The backlog of the last seconds is answered once the load has ended.
    let p90 = ages[ages.len() * 9 / 10];
    assert!(
        p90 < Duration::from_secs(2),
        "a tenth of the answered requests wait {p90:?} or longer, p99 {p99:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_flood_of_one_client_expires_no_request_of_others() {
    let harness = start();
    let quiet = |n: u32| format!("http://quiet-{}.example/done", n % 20).parse().unwrap();
    let mut number = 0;
    for _ in 0..15 {
        for n in 0..20 {
            let now = harness.now();
            harness.queue.enqueue(&SessionMessage { callback_url: quiet(n), ..message(number, now) });
            number += 1;
            harness.enqueue(number..number + 50);
            number += 50;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    harness.drained(2 * DEADLINE).await;
    let decisions = harness.store.decisions();
    let of_quiet = |host: &str| host.starts_with("quiet-");
    let (quiet, flood): (Vec<_>, Vec<_>) =
        decisions.iter().partition(|decided| of_quiet(decided.message.callback_url.host_str()));
    assert_eq!(quiet.len(), 300);
    assert!(quiet.iter().all(|decided| decided.decision.reason == DecisionReason::Acl));
    assert!(flood.iter().any(|decided| decided.decision.reason == DecisionReason::Expired));
}
