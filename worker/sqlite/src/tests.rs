//! The engine on real files. Time stands still unless a test advances it.

mod books;
mod callbacks;
mod durability;
mod inspection;
mod messages;
mod opening;
mod operators;
mod rate;
mod recording;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{GiveUpReason, SessionMessage, UnixMillis};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use super::{SqliteEngine, SqliteSettings};
use chargegate_storage::conformance::stores::{
    ManualClock, START, attempt, decided, effects, first_attempt, limits, message, poison, record_first,
    report, request_id,
};
use chargegate_storage::queue::{LeasedMessage, MessageKey, Queue};
use chargegate_storage::store::{
    AfterAttempt, AttemptResult, CallbackJob, ClaimLimits, Outcome, RecordVerdict, Store,
};
use chargegate_storage::{Clock, Effects, SystemRandom};

const NO_WAIT: Duration = Duration::ZERO;

/// An engine with its own folder.
struct SqliteHarness {
    folder: TempDir,
    clock: Arc<ManualClock>,
    settings: SqliteSettings,
    engine: SqliteEngine,
}

impl SqliteHarness {
    async fn new() -> Self {
        Self::with(SqliteSettings::default()).await
    }

    async fn with(settings: SqliteSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(START);
        let engine = SqliteEngine::open(folder.path(), settings.clone(), effects(&clock)).await.unwrap();
        Self { folder, clock, settings, engine }
    }

    fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    fn effects(&self) -> Effects {
        effects(&self.clock)
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    async fn reopen(&mut self) {
        self.engine.close().await;
        self.engine =
            SqliteEngine::open(self.data_dir(), self.settings.clone(), self.effects()).await.unwrap();
    }

    /// Opens a connection to the file beside the engine.
    async fn by_hand(&self) -> SqliteConnection {
        let file = self.data_dir().join("chargegate.db");
        SqliteConnectOptions::new().filename(file).foreign_keys(false).connect().await.unwrap()
    }

    async fn execute(&self, sql: &str) -> u64 {
        let mut connection = self.by_hand().await;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected()
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.by_hand().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    async fn enqueue(&self, body: &str) {
        self.engine.enqueue(body.to_owned()).await.unwrap();
    }

    async fn lease(&self, max: usize) -> Vec<LeasedMessage> {
        self.engine.lease(max, NO_WAIT).await.unwrap()
    }

    /// Enqueues, leases, records and acks a request; its callback is leased.
    async fn decide(&self, request: u32, host: &str) -> CallbackJob {
        let message = message(request, host);
        self.enqueue(&message.encode()).await;
        let leased = self.lease(1).await.remove(0);
        let outcome = decided(leased.key.as_str(), message, self.now());
        let job = record_first(&self.engine, vec![outcome]).await.remove(0);
        self.engine.ack(vec![leased.key]).await.unwrap();
        job
    }

    async fn record(&self, outcomes: Vec<Outcome>) -> Vec<RecordVerdict> {
        self.engine.record(&outcomes).await.unwrap()
    }

    async fn claim(&self, limits: ClaimLimits) -> Vec<CallbackJob> {
        self.engine.claim(limits).await.unwrap()
    }

    async fn report(&self, job: &CallbackJob, result: AttemptResult, next: AfterAttempt) {
        self.engine.report(&[report(job, self.now(), result, next)]).await.unwrap();
    }

    async fn deliver(&self, job: &CallbackJob) {
        let next = AfterAttempt::Delivered;
        self.report(job, AttemptResult::Answered(204), next).await;
    }

    async fn give_up(&self, job: &CallbackJob) {
        let next = AfterAttempt::Dead { reason: GiveUpReason::Gone };
        self.report(job, AttemptResult::Answered(410), next).await;
    }
}

fn keys(messages: &[LeasedMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.key.as_str()).collect()
}
