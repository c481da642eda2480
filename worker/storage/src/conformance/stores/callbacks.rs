//! Leases of callbacks, their fencing, and fairness between hosts.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::{AfterAttempt, AttemptResult, CallbackJob, ClaimLimits};
use chargegate_core::GiveUpReason;

use super::*;

const RETRY_NOW: AfterAttempt = AfterAttempt::Retry { after: Duration::ZERO };

fn hosts(jobs: &[CallbackJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.callback_url.host_str()).collect()
}

pub(super) async fn a_first_attempt_is_leased_to_its_recorder(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    assert_eq!((first.attempt, first.round_attempt), (attempt(1), attempt(1)));
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    assert!(fixture.other.claim(limits(10, 10)).await.unwrap().is_empty());
}

pub(super) async fn an_expired_lease_is_due_again(fixture: StoreFixture) {
    let lost = fixture.decide(1, "a.example").await;
    let soon = Duration::from_secs(5);
    fixture.advance(fixture.lease.saturating_sub(soon)).await;
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.advance(soon).await;
    let found = fixture.other.claim(limits(10, 10)).await.unwrap().remove(0);
    assert_eq!(
        (found.request_id, found.attempt, found.round_attempt),
        (lost.request_id, attempt(2), attempt(2))
    );
    assert_eq!(found.callback_url, lost.callback_url);
    assert_eq!((found.station_id, found.driver_token), (lost.station_id, lost.driver_token));
    assert_eq!((found.accepted_at, found.decided_at), (lost.accepted_at, lost.decided_at));
    assert_eq!(found.decision, lost.decision);
    assert_eq!(lost.round_age, Duration::ZERO);
    assert!((fixture.lease..fixture.lease * 2).contains(&found.round_age), "{:?}", found.round_age);
}

pub(super) async fn a_retry_is_claimed_when_it_is_due(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    let retry = AfterAttempt::Retry { after: Duration::from_mins(1) };
    fixture.report(&first, AttemptResult::Answered(503), retry).await;
    fixture.advance(Duration::from_secs(55)).await;
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.advance(Duration::from_secs(5)).await;
    let claimed = fixture.claim(limits(10, 10)).await;
    assert_eq!(claimed[0].attempt, attempt(2));
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.deliver(&claimed[0]).await;
    assert_eq!(fixture.backlog().await, (0, 0));
    let shown = fixture.view.decision(&request_id(1)).await.unwrap().unwrap();
    assert_eq!(shown.attempts.len(), 2);
}

pub(super) async fn a_stale_report_is_ignored(fixture: StoreFixture) {
    // A worker that was paused for the length of its lease wakes up and reports.
    let stale = fixture.decide(1, "a.example").await;
    fixture.advance(fixture.lease).await;
    let newest = fixture.other.claim(limits(10, 10)).await.unwrap().remove(0);
    fixture.give_up(&stale).await;
    assert_eq!(fixture.backlog().await, (1, 0));
    fixture.report(&stale, AttemptResult::TimedOut, RETRY_NOW).await;
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.deliver(&newest).await;
    fixture.give_up(&newest).await;
    assert_eq!(fixture.backlog().await, (0, 0));
    let shown = fixture.view.decision(&request_id(1)).await.unwrap().unwrap();
    assert_eq!((shown.attempts.len(), shown.decision.callback.state.as_str()), (1, "delivered"));
}

pub(super) async fn a_stale_release_is_ignored(fixture: StoreFixture) {
    let stale = fixture.decide(1, "a.example").await;
    fixture.advance(fixture.lease).await;
    let newest = fixture.other.claim(limits(10, 10)).await.unwrap().remove(0);
    fixture.store.release(vec![(stale.request_id, stale.attempt)]).await.unwrap();
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.store.release(vec![(newest.request_id, newest.attempt)]).await.unwrap();
    assert_eq!(fixture.claim(limits(10, 10)).await[0].attempt, newest.attempt);
}

pub(super) async fn a_report_after_the_lease_counts_until_another_worker_claims(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    fixture.advance(fixture.lease * 2).await;
    fixture.deliver(&first).await;
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    assert_eq!(fixture.backlog().await, (0, 0));
}

pub(super) async fn of_two_reports_of_one_attempt_one_counts(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    let reports = [
        delivered(&first, fixture.now()),
        report(&first, fixture.now(), AttemptResult::TimedOut, RETRY_NOW),
        report(
            &first,
            fixture.now(),
            AttemptResult::Answered(410),
            AfterAttempt::Dead { reason: GiveUpReason::Gone },
        ),
    ];
    fixture.store.report(&reports).await.unwrap();
    assert_eq!(fixture.backlog().await, (0, 0));
    assert_eq!(fixture.view.decision(&request_id(1)).await.unwrap().unwrap().attempts.len(), 1);
    assert_eq!(fixture.totals().await.delivered, 1);
}

pub(super) async fn many_reports_of_all_kinds_in_one_batch_count(fixture: StoreFixture) {
    let mut reports = Vec::new();
    let outcomes = (0..300).map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), fixture.now()));
    for (n, job) in (0..).zip(record_first(fixture.store.as_ref(), outcomes.collect()).await) {
        let next = match n % 3 {
            0 => AfterAttempt::Delivered,
            1 => AfterAttempt::Dead { reason: GiveUpReason::Blocked },
            _ => RETRY_NOW,
        };
        reports.push(report(&job, fixture.now(), AttemptResult::Unreachable, next));
    }
    fixture.store.report(&reports).await.unwrap();
    assert_eq!(fixture.backlog().await, (100, 100));
    let totals = fixture.totals().await;
    assert_eq!((totals.delivered, totals.dead, totals.in_flight, totals.torn), (100, 100, 100, 0));
    assert_eq!(fixture.claim(limits(500, 500)).await.len(), 100);
}

pub(super) async fn a_released_callback_is_due_at_once_and_its_attempt_does_not_count(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    fixture.store.release(vec![(first.request_id, first.attempt)]).await.unwrap();
    fixture.store.release(vec![(first.request_id, first.attempt)]).await.unwrap();
    let claimed = fixture.other.claim(limits(10, 10)).await.unwrap();
    assert_eq!((claimed[0].attempt, claimed[0].round_attempt), (attempt(1), attempt(1)));
    // A released callback is no longer leased to its former worker, though the attempt number is the same again.
    assert_eq!(claimed.len(), 1);
}

pub(super) async fn a_host_gets_no_more_than_its_share(fixture: StoreFixture) {
    fixture.fill("a.example", 1, 10).await;
    fixture.fill("b.example", 100, 2).await;
    let under_way = HashMap::from([("a.example".into(), 1)]);
    let claimed = fixture.claim(ClaimLimits { total: 100, per_host: 4, under_way }).await;
    let of = |host: &str| hosts(&claimed).into_iter().filter(|found| *found == host).count();
    assert_eq!((of("a.example"), of("b.example")), (3, 2));
}

pub(super) async fn hosts_take_turns(fixture: StoreFixture) {
    for (at, host) in ["a.example", "b.example", "c.example"].into_iter().enumerate() {
        fixture.fill(host, 1 + 10 * u32::try_from(at).unwrap(), 4).await;
    }
    let mut turns = Vec::new();
    for _ in 0..6 {
        let claimed = fixture.claim(limits(2, 10)).await;
        assert_eq!(claimed.len(), 2);
        turns.extend(claimed.iter().map(|job| job.callback_url.host_str().to_owned()));
    }
    for round in turns.chunks(6) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for host in round {
            *counts.entry(host).or_default() += 1;
        }
        assert_eq!(counts.len(), 3, "{turns:?}");
        assert!(counts.values().all(|count| *count == 2), "{turns:?}");
    }
}

pub(super) async fn a_saturated_host_with_a_long_backlog_delays_no_other(fixture: StoreFixture) {
    fixture.fill("busy.example", 1, 5_000).await;
    fixture.fill("quiet.example", 50_000, 1).await;
    fixture.fill("zebra.example", 60_000, 1).await;
    let under_way = HashMap::from([("busy.example".into(), 8)]);
    let claimed = fixture.claim(ClaimLimits { total: 64, per_host: 8, under_way }).await;
    let mut found = hosts(&claimed);
    found.sort_unstable();
    assert_eq!(found, ["quiet.example", "zebra.example"]);
}

pub(super) async fn nothing_is_claimed_under_a_limit_of_zero(fixture: StoreFixture) {
    fixture.fill("a.example", 1, 3).await;
    assert!(fixture.claim(limits(0, 5)).await.is_empty());
    assert!(fixture.claim(limits(5, 0)).await.is_empty());
    assert_eq!(fixture.claim(limits(5, 5)).await.len(), 3);
}

pub(super) async fn dead_letters_are_counted(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    fixture.give_up(&first).await;
    fixture.decide(2, "a.example").await;
    assert_eq!(fixture.backlog().await, (1, 1));
}
