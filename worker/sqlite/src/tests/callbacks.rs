//! Leases of callbacks, their fencing, and fairness between hosts.

use std::collections::HashMap;

use super::*;
use crate::claim::{DUE, OLDEST, STEP};

/// Adds due callbacks of one host, without their messages.
async fn fill(harness: &SqliteHarness, host: &str, from: u32, count: u32) {
    let numbers: Vec<u32> = (from..from + count).collect();
    for chunk in numbers.chunks(5000) {
        let outcomes = chunk.iter().map(|n| decided(&n.to_string(), message(*n, host), harness.now()));
        harness.record(outcomes.collect()).await;
    }
    harness.execute(&format!("UPDATE callback SET leased = 0, due_at = 0 WHERE host = '{host}'")).await;
}

#[tokio::test]
async fn many_reports_in_one_batch_all_count() {
    let harness = SqliteHarness::new().await;
    let mut reports = Vec::new();
    for n in 1..=100 {
        let job = harness.decide(n, "a.example").await;
        let next = AfterAttempt::Delivered;
        reports.push(report(&job, harness.now(), AttemptResult::TimedOut, next));
        reports.push(report(&job, harness.now(), AttemptResult::TimedOut, next));
    }
    harness.engine.report(&reports).await.unwrap();
    assert_eq!(harness.engine.backlog().await.unwrap().in_flight, 0);
    assert_eq!(harness.number("SELECT count(*) FROM attempt WHERE http_status IS NULL").await, 100);
}

#[tokio::test]
async fn a_claim_steps_through_the_index_and_scans_no_backlog() {
    let harness = SqliteHarness::new().await;
    let mut connection = harness.by_hand().await;
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
        // Only the hosts of the few rows that were read are sorted.
        let sorts = steps.iter().filter(|step| step.contains("TEMP B-TREE")).count();
        assert!(sql == OLDEST || sorts == 0, "{steps:#?}");
    }
}

#[tokio::test]
async fn hosts_with_nothing_due_do_not_hide_others() {
    const FAR: u32 = 5_000;
    let harness = SqliteHarness::new().await;
    let far_off = harness.now().plus(Duration::from_hours(24)).0;
    harness
        .execute(&format!(
            "WITH RECURSIVE host (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM host WHERE n < {FAR}) \
             INSERT INTO callback (request_id, state, host, due_at, leased, attempt, round_first, round_started_at) \
             SELECT randomblob(16), 'pending', printf('h%05d.example', n), {far_off}, 0, 1, 1, 0 FROM host"
        ))
        .await;
    fill(&harness, "z.example", 100_000, 1).await;
    let hosts = |jobs: &[CallbackJob]| -> Vec<String> {
        jobs.iter().map(|job| job.callback_url.host_str().to_owned()).collect()
    };
    assert_eq!(
        hosts(&harness.claim(limits(8, 8)).await),
        ["z.example"],
        "one claim finds the only due callback"
    );

    // One host at its limit has more due callbacks than a claim reads: each claim continues where the last one ended.
    fill(&harness, "busy.example", 200_000, 1_200).await;
    fill(&harness, "y.example", 300_000, 1).await;
    let under_way = HashMap::from([("busy.example".into(), 8)]);
    let mut searches = 0;
    loop {
        let limits = ClaimLimits { total: 8, per_host: 8, under_way: under_way.clone() };
        let claimed = harness.claim(limits).await;
        if hosts(&claimed) == ["y.example"] {
            break;
        }
        assert!(claimed.is_empty());
        searches += 1;
        assert!(searches <= FAR / 1_000, "the host never has a turn");
    }
    assert!(searches > 0, "a single claim read the whole backlog");
}
