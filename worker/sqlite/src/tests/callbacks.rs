//! Leases on callbacks, their fences, and turns among hosts.

use std::collections::HashMap;

use super::*;
use crate::claim::{DUE, OLDEST, STEP};
use chargegate_storage::store::CallbackBacklog;

fn retry_at(at: UnixMillis) -> AfterAttempt {
    AfterAttempt::Retry { due_at: at }
}

/// Ten thousand due callbacks of one host, without the way through the queue.
async fn fill(bench: &Bench, host: &str, from: u32, count: u32) {
    let numbers: Vec<u32> = (from..from + count).collect();
    for chunk in numbers.chunks(5000) {
        let outcomes = chunk.iter().map(|n| decided(&n.to_string(), message(*n, host), bench.now()));
        bench.record(outcomes.collect()).await;
    }
    bench.execute(&format!("UPDATE callback SET leased = 0, due_at = 0 WHERE host = '{host}'")).await;
}

#[tokio::test]
async fn a_retry_is_claimed_when_it_is_due() {
    let bench = Bench::new().await;
    let job = bench.decide(1, "a.example").await;
    let due = bench.now().plus(Duration::from_secs(5));
    bench.report(&job, AttemptResult::Answered(503), retry_at(due)).await;
    bench.clock.advance(Duration::from_millis(4999));
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.clock.advance(Duration::from_millis(1));
    let claimed = bench.claim(limits(10, 10)).await;
    assert_eq!(claimed[0].attempt, attempt(2));
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.deliver(&claimed[0]).await;
    assert_eq!(bench.engine.backlog().await.unwrap(), CallbackBacklog { in_flight: 0, dead: 0 });
    assert_eq!(bench.number("SELECT count(*) FROM attempt").await, 2);
}

#[tokio::test]
async fn a_stale_report_is_ignored() {
    let bench = Bench::new().await;
    let stale = bench.decide(1, "a.example").await;
    bench.clock.advance(bench.settings.callback_lease);
    let newest = bench.claim(limits(10, 10)).await.remove(0);
    bench.give_up(&stale).await;
    assert_eq!(bench.engine.backlog().await.unwrap(), CallbackBacklog { in_flight: 1, dead: 0 });
    assert_eq!(bench.number("SELECT count(*) FROM attempt").await, 0);
    bench.deliver(&newest).await;
    bench.give_up(&newest).await;
    assert_eq!(bench.engine.backlog().await.unwrap(), CallbackBacklog { in_flight: 0, dead: 0 });
    assert_eq!(bench.number("SELECT count(*) FROM attempt").await, 1);
}

#[tokio::test]
async fn a_stale_release_is_ignored() {
    let bench = Bench::new().await;
    let stale = bench.decide(1, "a.example").await;
    bench.clock.advance(bench.settings.callback_lease);
    let newest = bench.claim(limits(10, 10)).await.remove(0);
    Store::release(&bench.engine, vec![(stale.request_id, stale.attempt)]).await.unwrap();
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    Store::release(&bench.engine, vec![(newest.request_id, newest.attempt)]).await.unwrap();
    assert_eq!(bench.claim(limits(10, 10)).await[0].attempt, newest.attempt);
}

#[tokio::test]
async fn a_report_after_the_lease_counts_while_nobody_else_has_begun() {
    let bench = Bench::new().await;
    let job = bench.decide(1, "a.example").await;
    bench.clock.advance(bench.settings.callback_lease * 2);
    bench.deliver(&job).await;
    assert!(bench.claim(limits(10, 10)).await.is_empty());
}

#[tokio::test]
async fn many_reports_in_one_batch_all_count() {
    let bench = Bench::new().await;
    let mut reports = Vec::new();
    for n in 1..=100 {
        let job = bench.decide(n, "a.example").await;
        let next = AfterAttempt::Delivered { at: bench.now() };
        reports.push(report(&job, bench.now(), AttemptResult::TimedOut, next));
        reports.push(report(&job, bench.now(), AttemptResult::TimedOut, next));
    }
    bench.engine.report(reports).await.unwrap();
    assert_eq!(bench.engine.backlog().await.unwrap().in_flight, 0);
    assert_eq!(bench.number("SELECT count(*) FROM attempt WHERE http_status IS NULL").await, 100);
}

#[tokio::test]
async fn dead_letters_are_counted() {
    let bench = Bench::new().await;
    let job = bench.decide(1, "a.example").await;
    bench.give_up(&job).await;
    assert_eq!(bench.engine.backlog().await.unwrap(), CallbackBacklog { in_flight: 0, dead: 1 });
}

#[tokio::test]
async fn hosts_take_turns() {
    let bench = Bench::new().await;
    for (at, host) in ["a.example", "b.example", "c.example"].into_iter().enumerate() {
        fill(&bench, host, 1 + 10 * u32::try_from(at).unwrap(), 4).await;
    }
    let mut turns = Vec::new();
    for _ in 0..6 {
        let claimed = bench.claim(limits(2, 10)).await;
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

#[tokio::test]
async fn a_host_gets_no_more_than_its_share() {
    let bench = Bench::new().await;
    fill(&bench, "a.example", 1, 10).await;
    fill(&bench, "b.example", 100, 2).await;
    let under_way = HashMap::from([("a.example".into(), 1)]);
    let claimed = bench.claim(ClaimLimits { total: 100, per_host: 4, under_way }).await;
    let of = |host: &str| claimed.iter().filter(|job| job.callback_url.host_str() == host).count();
    assert_eq!((of("a.example"), of("b.example")), (3, 2));
}

#[tokio::test]
async fn nothing_is_claimed_when_nothing_is_allowed() {
    let bench = Bench::new().await;
    fill(&bench, "a.example", 1, 3).await;
    assert!(bench.claim(limits(0, 5)).await.is_empty());
    assert!(bench.claim(limits(5, 0)).await.is_empty());
    assert_eq!(bench.claim(limits(5, 5)).await.len(), 3);
}

#[tokio::test]
async fn a_saturated_host_with_a_long_backlog_keeps_nobody_waiting() {
    let bench = Bench::new().await;
    fill(&bench, "busy.example", 1, 20_000).await;
    fill(&bench, "quiet.example", 50_000, 1).await;
    fill(&bench, "zebra.example", 60_000, 1).await;
    let under_way = HashMap::from([("busy.example".into(), 8)]);
    let claimed = bench.claim(ClaimLimits { total: 64, per_host: 8, under_way }).await;
    let hosts: Vec<&str> = claimed.iter().map(|job| job.callback_url.host_str()).collect();
    assert_eq!(hosts, ["quiet.example", "zebra.example"]);
}

#[tokio::test]
async fn a_search_steps_through_the_index_and_scans_no_backlog() {
    let bench = Bench::new().await;
    let mut connection = bench.by_hand().await;
    for sql in [OLDEST, STEP, DUE] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
        let touching: Vec<&&str> = steps.iter().filter(|step| step.contains("callback")).collect();
        assert!(!touching.is_empty());
        for step in touching {
            assert!(step.starts_with("SEARCH callback USING"), "{step} in {steps:#?}");
        }
        // Only the hosts of the few that were looked at are put in order.
        let sorts = steps.iter().filter(|step| step.contains("TEMP B-TREE")).count();
        assert!(sql == OLDEST || sorts == 0, "{steps:#?}");
    }
}

#[tokio::test]
async fn hosts_with_nothing_due_hide_no_other() {
    const FAR: u32 = 5_000;
    let bench = Bench::new().await;
    let far_off = bench.now().plus(Duration::from_hours(24)).0;
    bench
        .execute(&format!(
            "WITH RECURSIVE host (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM host WHERE n < {FAR}) \
             INSERT INTO callback (request_id, state, host, due_at, leased, attempt, round_first, round_started_at) \
             SELECT randomblob(16), 'pending', printf('h%05d.example', n), {far_off}, 0, 1, 1, 0 FROM host"
        ))
        .await;
    fill(&bench, "z.example", 100_000, 1).await;
    let hosts = |jobs: &[CallbackJob]| -> Vec<String> {
        jobs.iter().map(|job| job.callback_url.host_str().to_owned()).collect()
    };
    assert_eq!(hosts(&bench.claim(limits(8, 8)).await), ["z.example"], "one search finds what alone is due");

    // More is due of one host that is at its limit than a search looks at: each goes on where the last one ended.
    fill(&bench, "busy.example", 200_000, 1_200).await;
    fill(&bench, "y.example", 300_000, 1).await;
    let under_way = HashMap::from([("busy.example".into(), 8)]);
    let mut searches = 0;
    loop {
        let limits = ClaimLimits { total: 8, per_host: 8, under_way: under_way.clone() };
        let claimed = bench.claim(limits).await;
        if hosts(&claimed) == ["y.example"] {
            break;
        }
        assert!(claimed.is_empty());
        searches += 1;
        assert!(searches <= FAR / 1_000, "the host has no turn");
    }
    assert!(searches > 0, "a search has an end");
}
