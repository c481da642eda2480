//! Leases of callbacks, their fencing, and fairness between hosts.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::{
    AfterAttempt, AttemptResult, CallbackJob, ClaimLimits, ReleasedCallback, UNAVAILABLE_RECEIVER_RETENTION,
    UnavailableReceiver,
};
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
    fixture.store.release(&[ReleasedCallback::now(&stale)]).await.unwrap();
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.store.release(&[ReleasedCallback::now(&newest)]).await.unwrap();
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
    fixture.store.release(&[ReleasedCallback::now(&first)]).await.unwrap();
    fixture.store.release(&[ReleasedCallback::now(&first)]).await.unwrap();
    let claimed = fixture.other.claim(limits(10, 10)).await.unwrap();
    assert_eq!((claimed[0].attempt, claimed[0].round_attempt), (attempt(1), attempt(1)));
    // A released callback is no longer leased to its former worker, though the attempt number is the same again.
    assert_eq!(claimed.len(), 1);
}

pub(super) async fn a_postponed_callback_is_due_after_its_wait(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    let postponed = ReleasedCallback { after: Duration::from_mins(1), ..ReleasedCallback::now(&first) };
    fixture.store.release(&[postponed]).await.unwrap();
    fixture.advance(Duration::from_secs(55)).await;
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    fixture.advance(Duration::from_secs(5)).await;
    assert_eq!(fixture.claim(limits(10, 10)).await[0].attempt, attempt(1));
}

pub(super) async fn callbacks_of_an_available_host_become_due(fixture: StoreFixture) {
    let mut postponed = Vec::new();
    for (request, host) in [(1, "a.example"), (2, "a.example"), (3, "b.example"), (5, "c.example")] {
        let job = fixture.decide(request, host).await;
        postponed.push(ReleasedCallback { after: Duration::from_hours(1), ..ReleasedCallback::now(&job) });
    }
    let leased = fixture.decide(4, "a.example").await;
    fixture.store.release(&postponed).await.unwrap();
    fixture.store.wake(&["a.example".into(), "c.example".into()]).await.unwrap();
    let claimed = fixture.claim(limits(10, 10)).await;
    let mut woken = hosts(&claimed);
    woken.sort_unstable();
    assert_eq!(woken, ["a.example", "a.example", "c.example"]);
    assert!(claimed.iter().all(|job| job.request_id != leased.request_id));
}

pub(super) async fn hosts_with_many_pending_callbacks_are_found(fixture: StoreFixture) {
    for (request, host) in [(1, "a.example"), (2, "a.example"), (3, "a.example"), (4, "b.example")] {
        let job = fixture.decide(request, host).await;
        // Leased or not, a callback is pending.
        if request > 1 {
            fixture.store.release(&[ReleasedCallback::now(&job)]).await.unwrap();
        }
    }
    let asked: Vec<Box<str>> = ["a.example", "b.example", "c.example"].map(Box::from).into();
    let found = async |limit| fixture.store.backlogged_hosts(&asked, limit).await.unwrap();
    assert_eq!(found(2).await, ["a.example".into()]);
    assert!(found(3).await.is_empty());
    assert_eq!(found(0).await.len(), 2);
    for job in fixture.claim(limits(10, 10)).await {
        fixture.deliver(&job).await;
    }
    assert_eq!(found(0).await, ["a.example".into()], "one is leased, the others are delivered");
    assert!(found(1).await.is_empty());
}

pub(super) async fn unavailable_receivers_are_kept_until_they_are_available(fixture: StoreFixture) {
    let unavailable = |receiver: &str, probes, seconds| UnavailableReceiver {
        receiver: receiver.to_owned(),
        probes,
        probe_after: Duration::from_secs(seconds),
    };
    let (a, b) = (unavailable("host a.example 80", 1, 10), unavailable("host b.example 80", 2, 20));
    let stored = fixture.store.sync_receivers(&[b.clone(), a.clone()], &[]).await.unwrap();
    assert_eq!(stored.len(), 2);
    fixture.advance(Duration::from_secs(5)).await;
    // The longer backoff of two workers applies.
    let shorter = unavailable("host a.example 80", 3, 1);
    let stored = fixture.other.sync_receivers(&[shorter], &[b.receiver]).await.unwrap();
    assert_eq!((stored.len(), &*stored[0].receiver, stored[0].probes), (1, "host a.example 80", 3));
    assert!((Duration::from_secs(2)..=Duration::from_secs(5)).contains(&stored[0].probe_after), "{stored:?}");
    let stored = fixture.store.sync_receivers(&[], &[a.receiver]).await.unwrap();
    assert_eq!(stored, []);
}

pub(super) async fn a_receiver_that_nobody_reports_is_forgotten(fixture: StoreFixture) {
    let receiver = "host a.example 80".to_owned();
    let found = UnavailableReceiver { receiver, probes: 1, probe_after: Duration::from_secs(10) };
    fixture.store.sync_receivers(std::slice::from_ref(&found), &[]).await.unwrap();
    fixture.advance(UNAVAILABLE_RECEIVER_RETENTION.saturating_sub(Duration::from_mins(1))).await;
    assert_eq!(fixture.store.sync_receivers(&[], &[]).await.unwrap().len(), 1);
    fixture.advance(Duration::from_mins(2)).await;
    assert_eq!(fixture.store.sync_receivers(&[], &[]).await.unwrap(), []);
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
