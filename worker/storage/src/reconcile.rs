//! Reconciliation: every enqueued message is accounted for, and every decision has its callback.

use async_trait::async_trait;
use chargegate_core::RequestId;

use crate::error::{EngineError, QueueError, StoreError};
use crate::history::{HistoryWatermark, QueueObservation};
use crate::queue::MessageKey;

/// Maximum number of reads: a loss that is recorded during a read makes it start over.
const MAX_READS: u32 = 5;

/// A queue that counts its messages.
#[async_trait]
pub trait CountedQueue: Send + Sync {
    /// Returns the state of the whole queue at one moment.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn snapshot(&self) -> Result<QueueSnapshot, QueueError>;

    /// Lists the messages of a snapshot that still wait, leased ones included.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn waiting(&self, snapshot: &QueueSnapshot) -> Result<Vec<MessageKey>, QueueError>;
}

/// A store that can account for messages and decisions.
#[async_trait]
pub trait CountedStore: Send + Sync {
    /// Returns the last recorded watermark of the queue's history.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn watermark(&self) -> Result<HistoryWatermark, StoreError>;

    /// Returns the totals at one moment, given the messages `waiting` in the queue and the newest messages that
    /// were counted.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn totals(&self, waiting: &[MessageKey], newest: &[MessageKey]) -> Result<StoreTotals, StoreError>;
}

/// A queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Messages ever enqueued, by the server's own counters.
    pub enqueued: u64,
    /// The latest heartbeat it knows, and its counter at that heartbeat: see [`QueueObservation`].
    pub heartbeat: (u64, u64),
    /// By stream, a bound in the form of a message key between the messages so far and later ones; also if the stream is
    /// empty, or has lost newer messages than it has.
    pub newest: Vec<MessageKey>,
}

/// Totals of a store at one moment, including the rows that retention deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTotals {
    /// Requests decided.
    pub decided: u64,
    /// Messages whose request was decided already.
    pub duplicates: u64,
    /// Messages that cannot be decoded.
    pub poison: u64,
    /// Decisions whose callback was delivered.
    pub delivered: u64,
    /// Decisions whose callback was given up.
    pub dead: u64,
    /// Decisions whose callback is pending.
    pub in_flight: u64,
    /// Messages waiting in the queue that have no recorded outcome.
    pub unrecorded: u64,
    /// Messages recorded within the last hour that are newer than the newest in their stream.
    pub newer: u64,
    /// The recorded history of the queue.
    pub watermark: HistoryWatermark,
    /// Requests whose decision has no callback, at most 100.
    pub decisions_without_callback: Vec<RequestId>,
    /// Requests that have a callback and no decision, at most 100.
    pub callbacks_without_decision: Vec<RequestId>,
}

/// The state of all messages at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Messages ever enqueued, by the queue's counter and its recorded history; `None` if the queue does not count, so
    /// that its losses cannot be detected.
    pub enqueued: Option<u64>,
    /// Requests decided.
    pub decided: u64,
    /// Messages whose request was decided already.
    pub duplicates: u64,
    /// Messages that cannot be decoded.
    pub poison: u64,
    /// Messages in the queue with no outcome yet; if the queue does not count, its approximate depth.
    pub waiting: u64,
    /// Decisions whose callback was delivered.
    pub delivered: u64,
    /// Decisions whose callback was given up.
    pub dead: u64,
    /// Decisions whose callback is pending.
    pub in_flight: u64,
    /// Enqueued messages that the queue has lost since: its server was emptied, or lost its last writes. Those without
    /// an outcome are missing.
    pub forgotten: u64,
    /// Enqueued messages that cannot be found, if the queue numbers its messages; oldest first, at most 100 ranges.
    pub missing: Vec<SequenceRange>,
    /// Requests whose decision has no callback, at most 100.
    pub decisions_without_callback: Vec<RequestId>,
    /// Requests that have a callback and no decision, at most 100.
    pub callbacks_without_decision: Vec<RequestId>,
}

/// An inclusive range of message numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl SequenceRange {
    /// Returns the number of messages.
    #[must_use]
    pub fn count(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

impl Reconciliation {
    /// Returns whether every message and every decision is accounted for.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.enqueued.is_none_or(|enqueued| enqueued == self.accounted())
            && self.decided == self.delivered + self.dead + self.in_flight
            && self.missing.is_empty()
            && self.decisions_without_callback.is_empty()
            && self.callbacks_without_decision.is_empty()
    }

    /// Returns the number of enqueued messages that cannot be found; `None` if the queue does not count.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        self.enqueued.map(|enqueued| enqueued.saturating_sub(self.accounted()))
    }

    /// Returns the number of messages beyond those ever enqueued; `None` if the queue does not count.
    #[must_use]
    pub fn unexplained(&self) -> Option<u64> {
        self.enqueued.map(|enqueued| self.accounted().saturating_sub(enqueued))
    }

    fn accounted(&self) -> u64 {
        self.decided + self.duplicates + self.poison + self.waiting
    }
}

/// Reconciles a queue and a store on separate servers, exactly, while workers run.
///
/// Reads at different moments give one consistent result. First the store returns the recorded history of the queue; a
/// loss that is not recorded yet shows against it. Then the queue returns its message counter and its newest messages,
/// and lists those of them that still wait: any message not on that list was acknowledged before, so it was recorded
/// before. Last, the store returns its totals in one snapshot, with the listed messages that it has not recorded; the
/// messages it recorded that are newer than the first read are counted on both sides.
///
/// # Errors
/// [`EngineError`] of either.
pub async fn reconcile(
    queue: &dyn CountedQueue,
    store: &dyn CountedStore,
) -> Result<Reconciliation, EngineError> {
    let mut reads = 1;
    loop {
        let known = store.watermark().await?;
        let seen = queue.snapshot().await?;
        let waiting = queue.waiting(&seen).await?;
        let books = store.totals(&waiting, &seen.newest).await?;
        if books.watermark.forgotten == known.forgotten || reads == MAX_READS {
            return Ok(balance(known, &seen, books));
        }
        reads += 1;
    }
}

fn balance(known: HistoryWatermark, seen: &QueueSnapshot, books: StoreTotals) -> Reconciliation {
    let (kept_heartbeat, kept_enqueued) = seen.heartbeat;
    let begun_heartbeat = (kept_heartbeat >= known.heartbeat).then_some(kept_heartbeat);
    let observation =
        QueueObservation { kept_heartbeat, kept_enqueued, enqueued: seen.enqueued, begun_heartbeat };
    let known = known.advance(observation).watermark;
    Reconciliation {
        enqueued: Some(known.total(seen.enqueued) + books.newer),
        waiting: books.unrecorded,
        forgotten: known.forgotten,
        ..Reconciliation::from(books)
    }
}

/// Reconciles a store with a queue that does not count its messages and holds about `waiting`.
///
/// # Errors
/// [`EngineError`].
pub async fn reconcile_uncounted(
    waiting: u64,
    store: &dyn CountedStore,
) -> Result<Reconciliation, StoreError> {
    let books = store.totals(&[], &[]).await?;
    Ok(Reconciliation { waiting, ..books.into() })
}

impl From<StoreTotals> for Reconciliation {
    /// Returns the totals of the store alone.
    fn from(books: StoreTotals) -> Self {
        Self {
            enqueued: None,
            decided: books.decided,
            duplicates: books.duplicates,
            poison: books.poison,
            waiting: 0,
            delivered: books.delivered,
            dead: books.dead,
            in_flight: books.in_flight,
            forgotten: 0,
            missing: Vec::new(),
            decisions_without_callback: books.decisions_without_callback,
            callbacks_without_decision: books.callbacks_without_decision,
        }
    }
}

#[cfg(test)]
mod tests;
