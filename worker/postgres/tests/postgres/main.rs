//! Faults of a PostgreSQL server, and guarantees of this store alone.
#![cfg(test)]

mod answers;
mod backlog;
mod clocks;
mod database;
mod faults;
mod keys;
mod operators;
mod outages;
mod plans;
mod rate;
mod retention;
mod rights;
mod standby;
mod start;
mod store;

use chargegate_storage::reconcile::CountedStore as _;
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_postgres::{PostgresSettings, PostgresStore};
use chargegate_storage::StoreError;
use chargegate_storage::store::{Outcome, RecordVerdict, Store as _};
use tokio::time::Instant;

use self::database::{OLDEST, TestDatabase, parsed};
use chargegate_storage::conformance::stores::{START, decided, message};

/// Longest wait for any event.
const PATIENCE: Duration = Duration::from_mins(1);

/// A worker's store with its own database.
struct PostgresHarness {
    engine: PostgresStore,
    database: TestDatabase,
}

impl PostgresHarness {
    async fn new() -> Self {
        Self::on(OLDEST.database().await).await
    }

    async fn on(database: TestDatabase) -> Self {
        let engine = open(&database.worker_url()).await;
        Self { engine, database }
    }

    async fn record(&self, from: u32, count: u32) -> Result<Vec<RecordVerdict>, StoreError> {
        self.engine.record(&outcomes(from, count)).await
    }

    async fn decided(&self) -> u64 {
        self.engine.inspector().totals(&[], &[]).await.unwrap().decided
    }
}

/// Returns the outcomes of `count` requests, beginning with number `from`.
fn outcomes(from: u32, count: u32) -> Vec<Outcome> {
    let now = UnixMillis(START);
    (from..from + count).map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), now)).collect()
}

fn settings(url: &str) -> PostgresSettings {
    PostgresSettings { retention: Duration::from_secs(80), ..PostgresSettings::new(parsed(url)) }
}

async fn open(url: &str) -> PostgresStore {
    let (engine, warnings) = PostgresStore::open(settings(url)).await.unwrap();
    assert_eq!(warnings, []);
    engine
}

/// Repeats `attempt` until it succeeds, as workers do; also returns the number of failures.
async fn until_ok<T, F>(mut attempt: impl FnMut() -> F) -> (T, usize)
where
    F: Future<Output = Result<T, StoreError>>,
{
    let start = Instant::now();
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(done) => return (done, failures),
            Err(StoreError::Unavailable(_)) if start.elapsed() < PATIENCE => failures += 1,
            Err(error) => panic!("{error:?} after {failures} failures"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends the sessions of a rig's workers.
async fn terminate(rig: &PostgresHarness) {
    rig.database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}
