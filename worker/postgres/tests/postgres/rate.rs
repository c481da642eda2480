//! Measures throughput and write volume:
//! `cargo test --release -p chargegate-postgres rate -- --ignored --nocapture --test-threads 1`.

use std::time::Duration;

use chargegate_postgres as postgres;
use chargegate_storage::Effects;
use chargegate_storage::store::Store as _;
use tokio::time::Instant;

use crate::database::{OLDEST, TestDatabase, parsed};
use chargegate_storage::conformance::stores::{decided, delivered, first_attempt, limits, message};

const DECISIONS: u32 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rate_of_decisions() {
    for batch in [100, 256] {
        for tasks in [1, 2] {
            measure(batch, tasks).await;
        }
    }
}

/// Records decisions and reports them delivered, `batch` at a time, by `tasks` at once.
async fn measure(batch: u32, tasks: u32) {
    let database = OLDEST.database().await;
    let settings = postgres::PostgresSettings::new(parsed(&database.worker_url()));
    let (engine, _) = postgres::PostgresStore::open(settings).await.unwrap();
    let (wal, transactions) = (wal(&database).await, transactions(&database).await);
    let began = Instant::now();
    let working: Vec<_> = (0..tasks)
        .map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move { work(&engine, batch, task, tasks).await })
        })
        .collect();
    let (mut recording, mut reporting) = (Duration::ZERO, Duration::ZERO);
    for task in working {
        let (record, report) = task.await.unwrap();
        recording += record;
        reporting += report;
    }
    let took = began.elapsed();
    let wal = self::wal(&database).await - wal;
    let written = f64::from(DECISIONS);
    let per_decision = |count: i64| f64::from(i32::try_from(count).unwrap()) / written;
    println!(
        "{DECISIONS} decisions in batches of {batch} by {tasks}: {:.0}/s; record {:?} and report {:?} a batch; WAL {:.0} \
         bytes and {:.4} transactions a decision",
        written / took.as_secs_f64(),
        recording / (DECISIONS / batch),
        reporting / (DECISIONS / batch),
        per_decision(wal),
        per_decision(self::transactions(&database).await - transactions),
    );
    let size = database.number("SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = 'chargegate'::regnamespace AND relkind IN ('r')").await;
    println!("{} bytes a decision on disk", size / i64::from(DECISIONS));
}

/// Records, reports and forgets at a steady pace, and prints how large everything is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn sizes_over_time() {
    const BATCH: u32 = 250;
    const PACE: Duration = Duration::from_millis(50);
    let seconds: u64 = std::env::var("SOAK_SECONDS").map_or(120, |text| text.parse().unwrap());
    let database = OLDEST.database().await;
    let settings = postgres::PostgresSettings {
        retention: Duration::from_secs(24),
        ..postgres::PostgresSettings::new(parsed(&database.worker_url()))
    };
    let retention = settings.retention;
    let (engine, _) = postgres::PostgresStore::open(settings).await.unwrap();
    let began = Instant::now();
    let mut ticks = tokio::time::interval(PACE);
    let (mut next, mut printed) = (0, 0);
    while began.elapsed().as_secs() < seconds {
        ticks.tick().await;
        record_and_report(&engine, &(next..next + BATCH).collect::<Vec<_>>()).await;
        next += BATCH;
        if next % (BATCH * 5) == 0 {
            assert!(engine.claim(limits(64, 64)).await.unwrap().is_empty());
            engine.purge(retention).await.unwrap();
        }
        if began.elapsed().as_secs() >= printed {
            printed += 10;
            let size = async |table: &str| {
                database
                    .number(&format!(
                        "SELECT sum(pg_total_relation_size(oid))::bigint / 1024 FROM pg_class \
                         WHERE relnamespace = 'chargegate'::regnamespace AND relkind = 'r' AND relname ~ '^{table}'"
                    ))
                    .await
            };
            println!(
                "{:>4} s: {next} decided, {} kept; KiB: request {}, callback {}, decision {}, attempt {}",
                began.elapsed().as_secs(),
                database.number("SELECT count(*) FROM request").await,
                size("request").await,
                size("callback").await,
                size("decision_").await,
                size("attempt_").await,
            );
        }
    }
}

async fn work(engine: &postgres::PostgresStore, batch: u32, task: u32, tasks: u32) -> (Duration, Duration) {
    let (mut recording, mut reporting) = (Duration::ZERO, Duration::ZERO);
    let numbers: Vec<u32> = (0..DECISIONS).filter(|n| n / batch % tasks == task).collect();
    for numbers in numbers.chunks(usize::try_from(batch).unwrap()) {
        let (record, report) = record_and_report(engine, numbers).await;
        recording += record;
        reporting += report;
    }
    (recording, reporting)
}

async fn record_and_report(engine: &postgres::PostgresStore, numbers: &[u32]) -> (Duration, Duration) {
    let now = Effects::system().clock.now();
    let outcomes = numbers.iter().map(|n| {
        let host = format!("host-{}.example", n % 20);
        decided(&format!("chargegate:requests:{{0}}/1700000000000-{n}"), message(*n, &host), now)
    });
    let outcomes: Vec<_> = outcomes.collect();
    let start = Instant::now();
    engine.record(&outcomes).await.unwrap();
    let recording = start.elapsed();
    let jobs = outcomes.into_iter().map(first_attempt);
    let reports: Vec<_> = jobs.map(|job| delivered(&job, now)).collect();
    let start = Instant::now();
    engine.report(&reports).await.unwrap();
    (recording, start.elapsed())
}

async fn wal(database: &TestDatabase) -> i64 {
    database.number("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").await
}

async fn transactions(database: &TestDatabase) -> i64 {
    database
        .number("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database() AND pg_stat_clear_snapshot() IS NOT NULL OR datname = current_database()")
        .await
}
