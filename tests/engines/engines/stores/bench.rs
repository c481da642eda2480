//! A fresh store with two workers on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chargegate_core::{GiveUpReason, UnixMillis};
use chargegate_worker::inspect::Inspect;
use chargegate_worker::store::{
    AfterAttempt, AttemptResult, Backlog, CallbackJob, ClaimLimits, Outcome, Recorded, Store,
};
use chargegate_worker::{Clock, Effects, SystemRandom, postgres, sqlite};
use tempfile::TempDir;

use super::{START, decided, job, message, report};
use crate::database::{Database, Server, parsed};

/// A clock that a test moves.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) fn effects(clock: &Arc<ManualClock>) -> Effects {
    Effects { clock: Arc::<ManualClock>::clone(clock), random: Arc::new(SystemRandom) }
}

/// What the books say, however the store keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) decided: u64,
    pub(crate) duplicates: u64,
    pub(crate) poison: u64,
    pub(crate) delivered: u64,
    pub(crate) dead: u64,
    pub(crate) in_flight: u64,
    /// Halves of decisions.
    pub(crate) torn: usize,
}

enum Kind {
    Sqlite { engine: sqlite::Engine, _folder: TempDir },
    Postgres { engine: postgres::Engine, database: Database },
}

/// A fresh store with two workers on it. Time stands still unless a test moves it.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) other: Arc<dyn Store>,
    pub(crate) view: Arc<dyn Inspect>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) lease: Duration,
    kind: Kind,
}

impl Bench {
    pub(crate) async fn sqlite() -> Self {
        let clock = ManualClock::at(START);
        let folder = tempfile::tempdir().unwrap();
        let settings = sqlite::Settings::default();
        let lease = settings.callback_lease;
        let engine = sqlite::Engine::open(folder.path(), settings, effects(&clock)).await.unwrap();
        Self {
            store: Arc::new(engine.clone()),
            other: Arc::new(engine.clone()),
            view: Arc::new(engine.inspector()),
            clock,
            lease,
            kind: Kind::Sqlite { engine, _folder: folder },
        }
    }

    /// The workers have the role that the documentation gives them.
    pub(crate) async fn postgres(server: &Server) -> Self {
        let clock = ManualClock::at(START);
        let database = server.database().await;
        let settings = postgres::Settings {
            retention: Duration::from_secs(80),
            ..postgres::Settings::new(parsed(&database.worker_url()))
        };
        let lease = settings.callback_lease;
        let (engine, warnings) = postgres::Engine::open(settings.clone(), effects(&clock)).await.unwrap();
        assert_eq!(warnings, []);
        let (other, _) = postgres::Engine::open(settings, effects(&clock)).await.unwrap();
        Self {
            store: Arc::new(engine.clone()),
            other: Arc::new(other),
            view: Arc::new(engine.inspector()),
            clock,
            lease,
            kind: Kind::Postgres { engine, database },
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Lets time pass.
    pub(crate) async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        if let Kind::Postgres { database, .. } = &self.kind {
            database.age(by).await;
        }
    }

    pub(crate) async fn totals(&self) -> Totals {
        match &self.kind {
            Kind::Sqlite { engine, .. } => {
                let books = engine.inspector().reconcile().await.unwrap();
                Totals {
                    decided: books.decided,
                    duplicates: books.duplicates,
                    poison: books.poison,
                    delivered: books.delivered,
                    dead: books.dead,
                    in_flight: books.in_flight,
                    torn: books.decisions_without_callback.len() + books.callbacks_without_decision.len(),
                }
            }
            Kind::Postgres { engine, .. } => {
                let books = engine.inspector().books(&[], &[]).await.unwrap();
                Totals {
                    decided: books.decided,
                    duplicates: books.duplicates,
                    poison: books.poison,
                    delivered: books.delivered,
                    dead: books.dead,
                    in_flight: books.in_flight,
                    torn: books.decisions_without_callback.len() + books.callbacks_without_decision.len(),
                }
            }
        }
    }

    pub(crate) async fn record(&self, outcomes: Vec<Outcome>) -> Vec<Recorded> {
        self.store.record(outcomes).await.unwrap()
    }

    /// Records a decision; its callback is leased.
    pub(crate) async fn decide(&self, request: u32, host: &str) -> CallbackJob {
        let outcome = decided(&format!("s/{request}-0"), message(request, host), self.now());
        job(self.record(vec![outcome]).await.remove(0))
    }

    /// Callbacks of one host that are due.
    pub(crate) async fn fill(&self, host: &str, from: u32, count: u32) {
        let numbers: Vec<u32> = (from..from + count).collect();
        for chunk in numbers.chunks(2500) {
            let outcomes =
                chunk.iter().map(|n| decided(&format!("s/{n}-0"), message(*n, host), self.now())).collect();
            let jobs = self.record(outcomes).await.into_iter().map(job);
            self.store.release(jobs.map(|job| (job.request_id, job.attempt)).collect()).await.unwrap();
        }
    }

    pub(crate) async fn claim(&self, limits: ClaimLimits) -> Vec<CallbackJob> {
        self.store.claim(self.now(), limits).await.unwrap()
    }

    pub(crate) async fn report(&self, job: &CallbackJob, result: AttemptResult, next: AfterAttempt) {
        self.store.report(vec![report(job, self.now(), result, next)]).await.unwrap();
    }

    pub(crate) async fn deliver(&self, job: &CallbackJob) {
        let next = AfterAttempt::Delivered { at: self.now() };
        self.report(job, AttemptResult::Answered(204), next).await;
    }

    pub(crate) async fn give_up(&self, job: &CallbackJob) {
        let next = AfterAttempt::Dead { at: self.now(), reason: GiveUpReason::Gone };
        self.report(job, AttemptResult::Answered(410), next).await;
    }

    pub(crate) async fn backlog(&self) -> (u64, u64) {
        let Backlog { in_flight, dead } = self.store.backlog().await.unwrap();
        (in_flight, dead)
    }

    /// Purges until nothing is left; says in how many steps.
    pub(crate) async fn purge(&self, before: UnixMillis) -> usize {
        let mut steps = 1;
        while self.store.purge(before).await.unwrap() {
            steps += 1;
        }
        steps
    }
}
