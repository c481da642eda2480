//! Leases on callbacks, their fences, and turns among hosts.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::{AfterAttempt, AttemptResult, CallbackJob, ClaimLimits};
use chargegate_core::{GiveUpReason, UnixMillis};

use super::*;

fn retry_at(at: UnixMillis) -> AfterAttempt {
    AfterAttempt::Retry { due_at: at }
}

fn hosts(jobs: &[CallbackJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.callback_url.host_str()).collect()
}

pub(super) async fn a_first_attempt_is_leased_to_its_recorder(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    assert_eq!((first.attempt, first.round_attempt), (attempt(1), attempt(1)));
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    assert!(bench.other.claim(bench.now(), limits(10, 10)).await.unwrap().is_empty());
}

pub(super) async fn an_expired_lease_is_due_again(bench: Bench) {
    let lost = bench.decide(1, "a.example").await;
    let soon = Duration::from_secs(5);
    bench.advance(bench.lease.saturating_sub(soon)).await;
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.advance(soon).await;
    let found = bench.other.claim(bench.now(), limits(10, 10)).await.unwrap().remove(0);
    assert_eq!(
        (found.request_id, found.attempt, found.round_attempt),
        (lost.request_id, attempt(2), attempt(2))
    );
    assert_eq!(found.callback_url, lost.callback_url);
    assert_eq!((found.station_id, found.driver_token), (lost.station_id, lost.driver_token));
    assert_eq!((found.accepted_at, found.decided_at), (lost.accepted_at, lost.decided_at));
    assert_eq!((found.decision, found.round_started_at), (lost.decision, lost.round_started_at));
}

pub(super) async fn a_retry_is_claimed_when_it_is_due(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    let due = bench.now().plus(Duration::from_mins(1));
    bench.report(&first, AttemptResult::Answered(503), retry_at(due)).await;
    bench.advance(Duration::from_secs(55)).await;
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.advance(Duration::from_secs(5)).await;
    let claimed = bench.claim(limits(10, 10)).await;
    assert_eq!(claimed[0].attempt, attempt(2));
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.deliver(&claimed[0]).await;
    assert_eq!(bench.backlog().await, (0, 0));
    let shown = bench.view.decision(&request_id(1)).await.unwrap().unwrap();
    assert_eq!(shown.attempts.len(), 2);
}

pub(super) async fn a_stale_report_is_ignored(bench: Bench) {
    // A worker that was paused for the length of its lease wakes up and reports.
    let stale = bench.decide(1, "a.example").await;
    bench.advance(bench.lease).await;
    let newest = bench.other.claim(bench.now(), limits(10, 10)).await.unwrap().remove(0);
    bench.give_up(&stale).await;
    assert_eq!(bench.backlog().await, (1, 0));
    bench.report(&stale, AttemptResult::TimedOut, retry_at(bench.now())).await;
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.deliver(&newest).await;
    bench.give_up(&newest).await;
    assert_eq!(bench.backlog().await, (0, 0));
    let shown = bench.view.decision(&request_id(1)).await.unwrap().unwrap();
    assert_eq!((shown.attempts.len(), shown.decision.callback.state.as_str()), (1, "delivered"));
}

pub(super) async fn a_stale_release_is_ignored(bench: Bench) {
    let stale = bench.decide(1, "a.example").await;
    bench.advance(bench.lease).await;
    let newest = bench.other.claim(bench.now(), limits(10, 10)).await.unwrap().remove(0);
    bench.store.release(vec![(stale.request_id, stale.attempt)]).await.unwrap();
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.store.release(vec![(newest.request_id, newest.attempt)]).await.unwrap();
    assert_eq!(bench.claim(limits(10, 10)).await[0].attempt, newest.attempt);
}

pub(super) async fn a_report_after_the_lease_counts_while_nobody_else_has_begun(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    bench.advance(bench.lease * 2).await;
    bench.deliver(&first).await;
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    assert_eq!(bench.backlog().await, (0, 0));
}

pub(super) async fn of_two_reports_of_one_attempt_one_counts(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    let reports = vec![
        delivered(&first, bench.now()),
        report(&first, bench.now(), AttemptResult::TimedOut, retry_at(bench.now())),
        report(
            &first,
            bench.now(),
            AttemptResult::Answered(410),
            AfterAttempt::Dead { at: bench.now(), reason: GiveUpReason::Gone },
        ),
    ];
    bench.store.report(reports).await.unwrap();
    assert_eq!(bench.backlog().await, (0, 0));
    assert_eq!(bench.view.decision(&request_id(1)).await.unwrap().unwrap().attempts.len(), 1);
    assert_eq!(bench.totals().await.delivered, 1);
}

pub(super) async fn many_reports_of_all_kinds_in_one_batch_count(bench: Bench) {
    let mut reports = Vec::new();
    let outcomes = (0..300).map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), bench.now()));
    for (n, recorded) in (0..).zip(bench.record(outcomes.collect()).await) {
        let next = match n % 3 {
            0 => AfterAttempt::Delivered { at: bench.now() },
            1 => AfterAttempt::Dead { at: bench.now(), reason: GiveUpReason::Blocked },
            _ => retry_at(bench.now()),
        };
        reports.push(report(&job(recorded), bench.now(), AttemptResult::Unreachable, next));
    }
    bench.store.report(reports).await.unwrap();
    assert_eq!(bench.backlog().await, (100, 100));
    let totals = bench.totals().await;
    assert_eq!((totals.delivered, totals.dead, totals.in_flight, totals.torn), (100, 100, 100, 0));
    assert_eq!(bench.claim(limits(500, 500)).await.len(), 100);
}

pub(super) async fn a_released_callback_is_due_at_once_and_its_attempt_does_not_count(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    bench.store.release(vec![(first.request_id, first.attempt)]).await.unwrap();
    bench.store.release(vec![(first.request_id, first.attempt)]).await.unwrap();
    let claimed = bench.other.claim(bench.now(), limits(10, 10)).await.unwrap();
    assert_eq!((claimed[0].attempt, claimed[0].round_attempt), (attempt(1), attempt(1)));
    // What was handed back is no longer its former holder's, though the number is the same again.
    assert_eq!(claimed.len(), 1);
}

pub(super) async fn a_host_gets_no_more_than_its_share(bench: Bench) {
    bench.fill("a.example", 1, 10).await;
    bench.fill("b.example", 100, 2).await;
    let under_way = HashMap::from([("a.example".into(), 1)]);
    let claimed = bench.claim(ClaimLimits { total: 100, per_host: 4, under_way }).await;
    let of = |host: &str| hosts(&claimed).into_iter().filter(|found| *found == host).count();
    assert_eq!((of("a.example"), of("b.example")), (3, 2));
}

pub(super) async fn hosts_take_turns(bench: Bench) {
    for (at, host) in ["a.example", "b.example", "c.example"].into_iter().enumerate() {
        bench.fill(host, 1 + 10 * u32::try_from(at).unwrap(), 4).await;
    }
    let mut turns = Vec::new();
    for _ in 0..6 {
        let claimed = bench.claim(limits(2, 10)).await;
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

pub(super) async fn a_saturated_host_with_a_long_backlog_keeps_nobody_waiting(bench: Bench) {
    bench.fill("busy.example", 1, 5_000).await;
    bench.fill("quiet.example", 50_000, 1).await;
    bench.fill("zebra.example", 60_000, 1).await;
    let under_way = HashMap::from([("busy.example".into(), 8)]);
    let claimed = bench.claim(ClaimLimits { total: 64, per_host: 8, under_way }).await;
    let mut found = hosts(&claimed);
    found.sort_unstable();
    assert_eq!(found, ["quiet.example", "zebra.example"]);
}

pub(super) async fn nothing_is_claimed_when_nothing_is_allowed(bench: Bench) {
    bench.fill("a.example", 1, 3).await;
    assert!(bench.claim(limits(0, 5)).await.is_empty());
    assert!(bench.claim(limits(5, 0)).await.is_empty());
    assert_eq!(bench.claim(limits(5, 5)).await.len(), 3);
}

pub(super) async fn dead_letters_are_counted(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    bench.give_up(&first).await;
    bench.decide(2, "a.example").await;
    assert_eq!(bench.backlog().await, (1, 1));
}
