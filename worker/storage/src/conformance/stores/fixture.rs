//! A fresh store with two workers on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{decided, message, record_first, report};
use crate::inspect::Inspect;
use crate::operate::Operate;
use crate::reconcile::{Reconciliation, StoreTotals};
use crate::store::{
    AfterAttempt, AttemptResult, CallbackBacklog, CallbackJob, ClaimLimits, Outcome, RecordVerdict,
    ReleasedCallback, Store,
};
use crate::{Clock, Effects, SystemRandom};
use async_trait::async_trait;
use chargegate_core::{GiveUpReason, UnixMillis};

/// A clock that a test advances.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Creates a clock that shows `now`, in milliseconds since 1970.
    pub fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// Returns effects with this clock and real randomness.
pub fn effects(clock: &Arc<ManualClock>) -> Effects {
    Effects { clock: Arc::<ManualClock>::clone(clock), random: Arc::new(SystemRandom) }
}

impl From<&StoreTotals> for OutcomeCounts {
    fn from(books: &StoreTotals) -> Self {
        Self {
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

impl From<&Reconciliation> for OutcomeCounts {
    fn from(books: &Reconciliation) -> Self {
        Self {
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

/// Counts of a store, independent of its representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Decided requests.
    pub decided: u64,
    /// Duplicate requests.
    pub duplicates: u64,
    /// Poison messages.
    pub poison: u64,
    /// Delivered callbacks.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Pending callbacks.
    pub in_flight: u64,
    /// Decisions without a callback, and callbacks without a decision.
    pub torn: usize,
}

/// Access to a store under test beyond its interface.
#[async_trait]
pub trait StoreBackend: Send + Sync {
    /// Ages all rows, if the store uses its own clock.
    async fn age(&self, by: Duration);

    /// Returns the counts.
    async fn totals(&self) -> OutcomeCounts;
}

/// A fresh store with two workers. Time stands still unless a test advances it.
pub struct StoreFixture {
    /// The store of the first worker.
    pub store: Arc<dyn Store>,
    /// The store of the second worker.
    pub other: Arc<dyn Store>,
    /// Read-only access for operators.
    pub view: Arc<dyn Inspect>,
    /// Changes by operators.
    pub operate: Arc<dyn Operate>,
    /// The clock of the workers.
    pub clock: Arc<ManualClock>,
    /// Duration of the lease of a callback.
    pub lease: Duration,
    /// Access beyond the interface.
    pub backend: Box<dyn StoreBackend>,
}

impl StoreFixture {
    /// Returns the time of the workers.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Advances the clock.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.backend.age(by).await;
    }

    /// Returns the counts.
    pub async fn totals(&self) -> OutcomeCounts {
        self.backend.totals().await
    }

    /// Records outcomes in the first store.
    pub async fn record(&self, outcomes: Vec<Outcome>) -> Vec<RecordVerdict> {
        self.store.record(&outcomes).await.unwrap()
    }

    /// Records a decision; its callback is leased.
    pub async fn decide(&self, request: u32, host: &str) -> CallbackJob {
        let outcome = decided(&format!("s/{request}-0"), message(request, host), self.now());
        record_first(self.store.as_ref(), vec![outcome]).await.remove(0)
    }

    /// Adds due callbacks of one host.
    pub async fn fill(&self, host: &str, from: u32, count: u32) {
        let numbers: Vec<u32> = (from..from + count).collect();
        for chunk in numbers.chunks(2500) {
            let outcomes =
                chunk.iter().map(|n| decided(&format!("s/{n}-0"), message(*n, host), self.now())).collect();
            let jobs = record_first(self.store.as_ref(), outcomes).await;
            self.store.release(&jobs.iter().map(ReleasedCallback::now).collect::<Vec<_>>()).await.unwrap();
        }
    }

    /// Claims callbacks from the first store.
    pub async fn claim(&self, limits: ClaimLimits) -> Vec<CallbackJob> {
        self.store.claim(limits).await.unwrap()
    }

    /// Reports an attempt that began now.
    pub async fn report(&self, job: &CallbackJob, result: AttemptResult, next: AfterAttempt) {
        self.store.report(&[report(job, self.now(), result, next)]).await.unwrap();
    }

    /// Reports a delivery.
    pub async fn deliver(&self, job: &CallbackJob) {
        let next = AfterAttempt::Delivered;
        self.report(job, AttemptResult::Answered(204), next).await;
    }

    /// Reports that the callback is a dead letter.
    pub async fn give_up(&self, job: &CallbackJob) {
        let next = AfterAttempt::Dead { reason: GiveUpReason::Gone };
        self.report(job, AttemptResult::Answered(410), next).await;
    }

    /// Returns the numbers of pending callbacks and of dead letters.
    pub async fn backlog(&self) -> (u64, u64) {
        let CallbackBacklog { in_flight, dead } = self.store.backlog().await.unwrap();
        (in_flight, dead)
    }

    /// Purges until nothing is left; returns the number of steps.
    pub async fn purge(&self, older_than: Duration) -> usize {
        let mut steps = 1;
        while self.store.purge(older_than).await.unwrap() {
            steps += 1;
        }
        steps
    }
}
