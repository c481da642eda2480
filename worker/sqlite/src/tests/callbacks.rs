//! Leases on callbacks, their fences, and turns among hosts.

use std::collections::HashMap;

use super::*;
use crate::claim::{DUE, OLDEST, STEP};

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
async fn many_reports_in_one_batch_all_count() {
    let bench = Bench::new().await;
    let mut reports = Vec::new();
    for n in 1..=100 {
        let job = bench.decide(n, "a.example").await;
        let next = AfterAttempt::Delivered;
        reports.push(report(&job, bench.now(), AttemptResult::TimedOut, next));
        reports.push(report(&job, bench.now(), AttemptResult::TimedOut, next));
    }
    bench.engine.report(&reports).await.unwrap();
    assert_eq!(bench.engine.backlog().await.unwrap().in_flight, 0);
    assert_eq!(bench.number("SELECT count(*) FROM attempt WHERE http_status IS NULL").await, 100);
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
