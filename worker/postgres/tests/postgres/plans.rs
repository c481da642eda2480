//! Statements stay cheap as tables grow, regardless of the planner's statistics.

use std::collections::HashMap;
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_postgres::{PostgresSettings, PostgresStore};
use chargegate_storage::store::{AfterAttempt, AttemptResult, ClaimLimits, ReleasedCallback, Store as _};
use tokio::time::Instant;

use super::{PATIENCE, PostgresHarness, terminate, unavailable, until_ok};
use crate::database::{OLDEST, TestDatabase, parsed};
use chargegate_storage::conformance::stores::{
    START, decided, delivered, limits, message, record_first, report,
};

/// Index entries read by all sessions that have ended.
const READ: &str = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes \
    WHERE schemaname = 'chargegate'";
/// Scans of whole tables that may grow.
const SCANS: &str = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables \
    WHERE schemaname = 'chargegate' AND relname !~ '^(time_partition|ledger|watermark|_sqlx)'";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND application_name = 'chargegate'";

/// Opens a worker's store with partitions for days.
async fn start(database: &TestDatabase) -> PostgresStore {
    let settings = PostgresSettings::new(parsed(&database.worker_url()));
    PostgresStore::open(settings).await.unwrap().0
}

/// Closes the store, so that its sessions report their statistics.
async fn end(engine: PostgresStore, database: &TestDatabase) {
    engine.close().await;
    let start = Instant::now();
    while database.number(SESSIONS).await > 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs every hot statement with batches of 100.
async fn work(engine: &PostgresStore, from: u32) {
    let now = UnixMillis(START);
    let outcomes = |key: u32| {
        (from..from + 100)
            .map(|n| decided(&format!("s/{n}-{key}"), message(n, &format!("h{}.example", n % 7)), now))
            .collect::<Vec<_>>()
    };
    let jobs = record_first(engine, outcomes(0)).await;
    engine.record(&outcomes(1)).await.unwrap();
    let retry = AfterAttempt::Retry { after: Duration::ZERO };
    let (done, failed) = jobs.split_at(50);
    let mut reports: Vec<_> = done.iter().map(|job| delivered(job, now)).collect();
    reports.extend(failed.iter().map(|job| report(job, now, AttemptResult::TimedOut, retry)));
    engine.report(&reports).await.unwrap();
    let claimed = engine.claim(limits(50, 50)).await.unwrap();
    assert_eq!(claimed.len(), 50);
    engine.release(&claimed.iter().map(ReleasedCallback::now).collect::<Vec<_>>()).await.unwrap();
    let claimed = engine.claim(limits(50, 50)).await.unwrap();
    let reports: Vec<_> = claimed.iter().map(|job| delivered(job, now)).collect();
    engine.report(&reports).await.unwrap();
    assert!(engine.claim(limits(50, 50)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hot_statement_scans_a_table() {
    let mut read = Vec::new();
    for rows in [0, 300_000] {
        let database = OLDEST.database().await;
        let engine = start(&database).await;
        work(&engine, 1).await;
        end(engine, &database).await;
        // The planner sees statistics of tiny tables once, and keeps the plan.
        database.execute("ALTER TABLE callback SET (autovacuum_enabled = off)").await;
        database.execute("VACUUM ANALYZE").await;
        let (scans, before) = (database.number(SCANS).await, database.number(READ).await);
        let engine = start(&database).await;
        work(&engine, 1001).await;
        database
            .execute(&format!(
                "WITH new AS (SELECT gen_random_uuid() AS id FROM generate_series(1, {rows})), \
                 r AS (INSERT INTO request SELECT clock(), id FROM new RETURNING request_id), \
                 d AS (INSERT INTO decision SELECT clock(), 0, 0, request_id, false, 'allowed', 'acl', 's', 'k', \
                     't', 'u', NULL FROM r) \
                 INSERT INTO callback SELECT clock(), clock() + 3600000, 0, request_id, 1, 1, true, \
                     'h' || (abs(hashtext(request_id::text)) % 7) || '.example' FROM r"
            ))
            .await;
        work(&engine, 2001).await;
        end(engine, &database).await;
        assert_eq!(database.number(SCANS).await - scans, 0, "with {rows} rows");
        read.push(database.number(READ).await - before);
    }
    let [few, many] = read[..] else { panic!("two sizes") };
    assert!(
        few > 0 && many < few * 2 + 500,
        "{few} index entries in an empty database, {many} in a full one"
    );
}

/// Adds callbacks of a host that are due now or later.
async fn pend(database: &TestDatabase, host: &str, rows: u32, due: &str) {
    database
        .execute(&format!(
            "INSERT INTO callback SELECT clock(), clock() {due}, 0, gen_random_uuid(), 1, 1, false, {host} \
             FROM generate_series(1, {rows}) AS n"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_does_not_scan_hosts_with_nothing_due() {
    const FAR: u32 = 100_000;
    let database = OLDEST.database().await;
    let engine = start(&database).await;
    let now = UnixMillis(START);
    let one = record_first(&engine, vec![decided("s/1-0", message(1, "m.example"), now)]).await;
    let one: Vec<_> = one.iter().map(ReleasedCallback::now).collect();
    pend(&database, "'h' || n || '.example'", FAR, "+ 3600000").await;
    end(engine, &database).await;
    let before = database.number(READ).await;
    let engine = start(&database).await;
    assert!(engine.claim(limits(50, 8)).await.unwrap().is_empty());
    engine.release(&one).await.unwrap();
    assert_eq!(engine.claim(limits(50, 8)).await.unwrap().len(), 1);
    end(engine, &database).await;
    let read = database.number(READ).await - before;
    assert!((1..500).contains(&read), "{read} index entries");

    // A host at its limit with the oldest due callbacks hides the others for some claims, but not forever.
    pend(&database, "'busy.example'", 5_000, "- 60000").await;
    let engine = start(&database).await;
    engine.release(&one).await.unwrap();
    let before = database.number(READ).await;
    let mut searches = 0;
    loop {
        searches += 1;
        assert!(searches <= FAR / 1_000, "the host never has a turn");
        let limits = ClaimLimits { under_way: [("busy.example".into(), 8)].into(), ..limits(50, 8) };
        if !engine.claim(limits).await.unwrap().is_empty() {
            break;
        }
    }
    end(engine, &database).await;
    let each = (database.number(READ).await - before) / i64::from(searches);
    assert!(each < 10_000, "{each} index entries a search, {searches} searches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_take_turns_despite_a_long_backlog() {
    let database = OLDEST.database().await;
    let engine = start(&database).await;
    let now = UnixMillis(START);
    let hosts = ["a.example", "b.example", "c.example", "d.example", "e.example"];
    for (at, host) in (1..).zip(hosts) {
        let outcomes = (0..20).map(|n| decided(&format!("s/{at}-{n}"), message(at * 100 + n, host), now));
        let jobs = record_first(&engine, outcomes.collect()).await;
        engine.release(&jobs.iter().map(ReleasedCallback::now).collect::<Vec<_>>()).await.unwrap();
    }
    // More callbacks are due, and for longer, than a claim reads.
    pend(&database, "'busy.example'", 5_000, "- 60000").await;
    let mut turns: HashMap<String, usize> = HashMap::new();
    for _ in 0..12 {
        for job in engine.claim(limits(2, 8)).await.unwrap() {
            *turns.entry(job.callback_url.host_str().to_owned()).or_default() += 1;
        }
    }
    // Each of the six hosts had four of 24; those of the busy host have no decision, so they yield no jobs.
    assert_eq!(turns, hosts.map(|host| (host.to_owned(), 4)).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_with_nothing_due_writes_nothing() {
    let rig = PostgresHarness::new().await;
    rig.record(1, 100).await.unwrap();
    // Writes are refused.
    let name = rig.database.name();
    rig.database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    terminate(&rig).await;
    let search = || rig.engine.claim(limits(50, 50));
    assert!(until_ok(search).await.0.is_empty());
    unavailable(&rig.record(200, 1).await);
    assert!(until_ok(search).await.0.is_empty());
}
