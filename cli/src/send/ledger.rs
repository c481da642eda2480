//! What became of each request: its answer, its callbacks, and whether they agree.

mod entry;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub(super) use self::entry::{CallbackContradiction, LedgerEntry, ReceivedCallback, RequestAck};
use super::callback;

/// The record of a run. Requests are numbered from 0 in the order they are planned.
pub(super) struct RequestLedger {
    driver_token: String,
    book: Mutex<LedgerRecords>,
    /// How many accepted requests wait for their callback.
    awaiting: watch::Sender<u64>,
}

#[derive(Default)]
struct LedgerRecords {
    entries: Vec<LedgerEntry>,
    counts: LedgerCounts,
}

/// Running counts, for the progress line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LedgerCounts {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) accepted: u64,
    pub(super) called_back: u64,
    /// Callbacks for requests that were never sent.
    pub(super) strays: u64,
}

impl RequestLedger {
    pub(super) fn new(driver_token: String) -> Self {
        Self { driver_token, book: Mutex::default(), awaiting: watch::Sender::new(0) }
    }

    /// Records that a request is sent, and gives its number.
    pub(super) fn open(&self, planned: Instant, station_id: Arc<str>) -> u64 {
        let mut book = self.book();
        let number = book.counts.sent;
        book.counts.sent += 1;
        book.entries.push(LedgerEntry::new(planned, station_id));
        number
    }

    /// Records a request's answer, or that it has none. Its callback may have come before.
    pub(super) fn answered(&self, number: u64, ack: RequestAck) {
        let mut book = self.book();
        let LedgerRecords { entries, counts } = &mut *book;
        let Some(entry) = index(number).and_then(|index| entries.get_mut(index)) else { return };
        counts.answered += 1;
        if matches!(ack, RequestAck::Accepted { .. }) {
            counts.accepted += 1;
            if entry.received().is_none() {
                self.awaiting.send_modify(|awaiting| *awaiting += 1);
            }
        }
        entry.set_ack(ack);
    }

    /// Records a callback that arrived at `at`; `None` when no such request was sent.
    pub(super) fn called_back(
        &self,
        number: u64,
        at: Instant,
        webhook_id: Option<&str>,
        body: &[u8],
    ) -> Option<()> {
        let mut book = self.book();
        let LedgerRecords { entries, counts } = &mut *book;
        let entry = index(number).and_then(|index| entries.get_mut(index))?;
        if entry.received().is_none() {
            counts.called_back += 1;
            if matches!(entry.ack(), RequestAck::Accepted { .. }) {
                self.awaiting.send_modify(|awaiting| *awaiting = awaiting.saturating_sub(1));
            }
        }
        let after = at.saturating_duration_since(entry.planned());
        let status = callback::read(body, entry.station_id(), &self.driver_token);
        entry.add(ReceivedCallback { after, webhook_id: webhook_id.map(Box::from), status });
        Some(())
    }

    /// Records a callback that belongs to no request.
    pub(super) fn stray(&self) {
        self.book().counts.strays += 1;
    }

    /// Waits until every accepted request has its callback, for `limit` at most.
    pub(super) async fn settled(&self, limit: Duration) {
        let mut awaiting = self.awaiting.subscribe();
        let _ = timeout(limit, awaiting.wait_for(|awaiting| *awaiting == 0)).await;
    }

    /// The running counts.
    pub(super) fn counts(&self) -> LedgerCounts {
        self.book().counts
    }

    /// Shows every entry to `visit`, in order.
    pub(super) fn for_each(&self, visit: impl FnMut(&LedgerEntry)) {
        self.book().entries.iter().for_each(visit);
    }

    fn book(&self) -> MutexGuard<'_, LedgerRecords> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests;
