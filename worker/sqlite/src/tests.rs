//! The engine on real files. Time stands still unless a test moves it.

mod books;
mod callbacks;
mod durability;
mod inspection;
mod messages;
mod opening;
mod rate;
mod recording;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chargegate_core::{
    Decision, DecisionStatus, GiveUpReason, MessageDecodeError, RequestId, SessionMessage, UnixMillis,
};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use super::{SqliteEngine, SqliteSettings};
use chargegate_storage::queue::{LeasedMessage, MessageKey, Queue};
use chargegate_storage::store::{
    AfterAttempt, AttemptReport, AttemptResult, CallbackJob, ClaimLimits, DecidedMessage, Outcome,
    PoisonMessage, Recorded, Store,
};
use chargegate_storage::{Clock, Effects, SystemRandom};

const START: u64 = 1_700_000_000_000;
const NO_WAIT: Duration = Duration::ZERO;

#[derive(Debug)]
struct ManualClock(AtomicU64);

impl ManualClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// An engine in a folder of its own.
struct Bench {
    folder: TempDir,
    clock: Arc<ManualClock>,
    settings: SqliteSettings,
    engine: SqliteEngine,
}

impl Bench {
    async fn new() -> Self {
        Self::with(SqliteSettings::default()).await
    }

    async fn with(settings: SqliteSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock(AtomicU64::new(START)));
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

    /// A connection of somebody who works on the file by hand.
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

    /// The whole way of a request to a decision; its callback is leased.
    async fn decide(&self, request: u32, host: &str) -> CallbackJob {
        let message = message(request, host);
        self.enqueue(&message.encode()).await;
        let leased = self.lease(1).await.remove(0);
        let recorded = self.record(vec![decided(leased.key.as_str(), message, self.now())]).await;
        self.engine.ack(vec![leased.key]).await.unwrap();
        job(recorded.into_iter().next().unwrap())
    }

    async fn record(&self, outcomes: Vec<Outcome>) -> Vec<Recorded> {
        self.engine.record(outcomes).await.unwrap()
    }

    async fn claim(&self, limits: ClaimLimits) -> Vec<CallbackJob> {
        self.engine.claim(self.now(), limits).await.unwrap()
    }

    async fn report(&self, job: &CallbackJob, result: AttemptResult, next: AfterAttempt) {
        self.engine.report(vec![report(job, self.now(), result, next)]).await.unwrap();
    }

    async fn deliver(&self, job: &CallbackJob) {
        let next = AfterAttempt::Delivered { at: self.now() };
        self.report(job, AttemptResult::Answered(204), next).await;
    }

    async fn give_up(&self, job: &CallbackJob) {
        let next = AfterAttempt::Dead { at: self.now(), reason: GiveUpReason::Gone };
        self.report(job, AttemptResult::Answered(410), next).await;
    }
}

fn effects(clock: &Arc<ManualClock>) -> Effects {
    Effects { clock: Arc::<ManualClock>::clone(clock), random: Arc::new(SystemRandom) }
}

fn request_id(request: u32) -> RequestId {
    let mut random = [0; 10];
    random[4..8].copy_from_slice(&request.to_be_bytes());
    RequestId::v7(UnixMillis(START), random)
}

fn message(request: u32, host: &str) -> SessionMessage {
    SessionMessage {
        id: request_id(request),
        station_id: "123e4567-e89b-12d3-a456-426614174000".parse().unwrap(),
        driver_token: "driver-allowed-0000000001".into(),
        callback_url: format!("https://{host}/callback?key=s3cret").parse().unwrap(),
        accepted_at: UnixMillis(START),
        traceparent: None,
    }
}

fn decided(key: &str, message: SessionMessage, at: UnixMillis) -> Outcome {
    Outcome::Decided(DecidedMessage {
        key: MessageKey::from(key.to_owned()),
        message,
        decision: Decision::answered(DecisionStatus::Allowed),
        decided_at: at,
        late: false,
    })
}

fn poison(key: &str) -> Outcome {
    Outcome::Poison(PoisonMessage {
        key: MessageKey::from(key.to_owned()),
        body: b"\xff not \0 json".to_vec(),
        reason: MessageDecodeError::NotAnObject,
        found_at: UnixMillis(START),
    })
}

#[track_caller]
fn job(recorded: Recorded) -> CallbackJob {
    match recorded {
        Recorded::Decided(job) => job,
        other => panic!("expected a first decision, not {other:?}"),
    }
}

fn report(job: &CallbackJob, at: UnixMillis, result: AttemptResult, next: AfterAttempt) -> AttemptReport {
    AttemptReport {
        request_id: job.request_id,
        attempt: job.attempt,
        started_at: at,
        took: Duration::from_millis(12),
        result,
        next,
    }
}

fn limits(total: usize, per_host: usize) -> ClaimLimits {
    ClaimLimits { total, per_host, under_way: [].into() }
}

fn keys(messages: &[LeasedMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.key.as_str()).collect()
}

fn attempt(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}
