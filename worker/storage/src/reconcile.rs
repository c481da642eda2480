//! The books: every message that was ever enqueued is accounted for, and every decision has its callback.

use async_trait::async_trait;
use chargegate_core::RequestId;

use crate::error::{EngineError, QueueError, StoreError};
use crate::history::{HistoryWatermark, QueueObservation};
use crate::queue::MessageKey;

/// A loss that is noted while the books are read has them read again, this often at most.
const LOOKS: u32 = 5;

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
    /// Returns the last noted watermark of the queue's history.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn watermark(&self) -> Result<HistoryWatermark, StoreError>;

    /// Returns the books at one moment, given the messages `waiting` in the queue and the newest message of each of its
    /// streams.
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
    /// By stream, a bound between the messages it had and those it takes later, of the form of a message's key: also
    /// where a stream is empty, or has forgotten newer messages than it has.
    pub newest: Vec<MessageKey>,
}

/// What became of all messages that left the queue, at one moment; counts include what retention deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTotals {
    /// Requests decided.
    pub decided: u64,
    /// Messages that asked again what was decided.
    pub duplicates: u64,
    /// Messages nobody can read.
    pub poison: u64,
    /// Decisions whose callback arrived.
    pub delivered: u64,
    /// Decisions whose callback was given up.
    pub dead: u64,
    /// Decisions whose callback is on its way.
    pub in_flight: u64,
    /// Of the messages said to be waiting in the queue, those that have no outcome yet.
    pub unrecorded: u64,
    /// Messages recorded within the last hour that are newer than the newest the queue knows of their stream.
    pub newer: u64,
    /// How far the queue's history is known.
    pub watermark: HistoryWatermark,
    /// Requests whose decision has no callback, at most 100.
    pub decisions_without_callback: Vec<RequestId>,
    /// Requests that have a callback and no decision, at most 100.
    pub callbacks_without_decision: Vec<RequestId>,
}

/// Where all messages are, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Messages ever enqueued, by the queue's own counter and by what is remembered of it; `None` where the queue does
    /// not count: what it loses by itself cannot be seen then.
    pub enqueued: Option<u64>,
    /// Requests decided.
    pub decided: u64,
    /// Messages that asked again what was decided.
    pub duplicates: u64,
    /// Messages nobody can read.
    pub poison: u64,
    /// Messages in the queue with no outcome yet; as many as it holds, where it does not count and tells only about
    /// how many those are.
    pub waiting: u64,
    /// Decisions whose callback arrived.
    pub delivered: u64,
    /// Decisions whose callback was given up.
    pub dead: u64,
    /// Decisions whose callback is on its way.
    pub in_flight: u64,
    /// Of the messages enqueued, those the queue has forgotten since: its server was emptied, or lost its last writes.
    /// Those that had no outcome yet are missing.
    pub forgotten: u64,
    /// Messages that were enqueued and are nowhere, where the queue numbers its messages; oldest first, at most 100
    /// ranges.
    pub missing: Vec<SequenceRange>,
    /// Requests whose decision has no callback, at most 100.
    pub decisions_without_callback: Vec<RequestId>,
    /// Requests that have a callback and no decision, at most 100.
    pub callbacks_without_decision: Vec<RequestId>,
}

/// Messages by their numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl SequenceRange {
    /// How many messages.
    #[must_use]
    pub fn count(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

impl Reconciliation {
    /// Whether every message and every decision is accounted for.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.enqueued.is_none_or(|enqueued| enqueued == self.accounted())
            && self.decided == self.delivered + self.dead + self.in_flight
            && self.missing.is_empty()
            && self.decisions_without_callback.is_empty()
            && self.callbacks_without_decision.is_empty()
    }

    /// How many messages were enqueued and are nowhere; `None` where the queue does not count.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        self.enqueued.map(|enqueued| enqueued.saturating_sub(self.accounted()))
    }

    /// How many messages have an outcome, or wait, that the queue never had; `None` where it does not count.
    #[must_use]
    pub fn unexplained(&self) -> Option<u64> {
        self.enqueued.map(|enqueued| self.accounted().saturating_sub(enqueued))
    }

    fn accounted(&self) -> u64 {
        self.decided + self.duplicates + self.poison + self.waiting
    }
}

/// Balances the books of a queue and a store on servers of their own, exactly, while workers go on.
///
/// Looks at different moments give one answer. First the store tells what is known of the queue's history; a loss that
/// nobody has noted yet shows against it. Then the queue tells how many messages it ever had, and the newest of them. Then what still waits of those is listed: whatever is not on that list was acknowledged before, so
/// it was recorded before. Last, the store tells in one snapshot what it has recorded, and which of the listed messages
/// it has not; what it recorded of newer messages is set against the first look.
///
/// # Errors
/// [`EngineError`] of either.
pub async fn reconcile(
    queue: &dyn CountedQueue,
    store: &dyn CountedStore,
) -> Result<Reconciliation, EngineError> {
    let mut looks = 1;
    loop {
        let known = store.watermark().await?;
        let seen = queue.snapshot().await?;
        let waiting = queue.waiting(&seen).await?;
        let books = store.totals(&waiting, &seen.newest).await?;
        if books.watermark.forgotten == known.forgotten || looks == LOOKS {
            return Ok(balance(known, &seen, books));
        }
        looks += 1;
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

/// What a store knows, of a queue that does not count its messages and holds about so many.
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
    /// What the store knows by itself.
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
mod tests {
    use super::*;

    const KNOWN: HistoryWatermark = HistoryWatermark { version: 9, heartbeat: 4, enqueued: 8, forgotten: 0 };

    fn books() -> StoreTotals {
        StoreTotals {
            decided: 5,
            duplicates: 1,
            poison: 1,
            delivered: 3,
            dead: 1,
            in_flight: 1,
            unrecorded: 3,
            newer: 0,
            watermark: KNOWN,
            decisions_without_callback: Vec::new(),
            callbacks_without_decision: Vec::new(),
        }
    }

    /// A queue whose counter stands at `enqueued`, and stood at `heartbeat.1` at heartbeat `heartbeat.0`.
    fn seen(enqueued: u64, heartbeat: (u64, u64)) -> QueueSnapshot {
        QueueSnapshot { enqueued, heartbeat, newest: Vec::new() }
    }

    #[test]
    fn what_was_recorded_after_the_queue_was_seen_counts_as_enqueued() {
        assert!(balance(KNOWN, &seen(10, (5, 9)), books()).balanced());
        let later = StoreTotals { decided: 7, delivered: 5, newer: 2, ..books() };
        assert!(balance(KNOWN, &seen(10, (5, 9)), later).balanced());
    }

    #[test]
    fn a_queue_that_forgot_has_lost_what_was_not_decided() {
        let known = HistoryWatermark { enqueued: 2, forgotten: 9, ..KNOWN };
        let after = balance(known, &seen(3, (4, 2)), books());
        assert_eq!((after.enqueued, after.lost(), after.forgotten), (Some(12), Some(2), 9));
        assert!(!after.balanced());
    }

    #[test]
    fn a_loss_that_nobody_has_noted_yet_is_counted() {
        let emptied = balance(KNOWN, &seen(0, (0, 0)), StoreTotals { unrecorded: 0, ..books() });
        assert_eq!((emptied.enqueued, emptied.lost(), emptied.forgotten), (Some(8), Some(1), 8));
        let part_deleted = balance(KNOWN, &seen(1, (4, 8)), StoreTotals { unrecorded: 1, ..books() });
        assert_eq!(
            (part_deleted.enqueued, part_deleted.lost(), part_deleted.forgotten),
            (Some(8), Some(0), 7)
        );
    }

    #[test]
    fn without_a_counter_the_decisions_alone_must_balance() {
        let uncounted = Reconciliation { waiting: 7, ..books().into() };
        assert_eq!((uncounted.enqueued, uncounted.lost(), uncounted.unexplained()), (None, None, None));
        assert!(uncounted.balanced());
        let gap = Reconciliation { in_flight: 0, ..uncounted };
        assert!(!gap.balanced());
    }

    #[test]
    fn what_no_queue_ever_had_is_unexplained() {
        let after = balance(KNOWN, &seen(8, (4, 8)), books());
        assert_eq!((after.lost(), after.unexplained()), (Some(0), Some(2)));
        assert!(!after.balanced());
    }
}
