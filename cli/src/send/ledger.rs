//! The record of each request: its response, its callbacks, and contradictions between them.

mod entry;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub(super) use self::entry::{LedgerEntry, ReceivedCallback, RequestAck};
use super::callback;

/// The record of a run. Requests are numbered from 0 in their planned order.
pub(super) struct RequestLedger {
    driver_token: String,
    records: Mutex<LedgerRecords>,
    /// Number of accepted requests that wait for their callback.
    awaiting: watch::Sender<u64>,
}

#[derive(Default)]
struct LedgerRecords {
    entries: Vec<LedgerEntry>,
    counts: LedgerCounts,
}

/// Counters for the progress line.
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
        Self { driver_token, records: Mutex::default(), awaiting: watch::Sender::new(0) }
    }

    /// Records a sent request and returns its number.
    pub(super) fn record_sent(&self, planned: Instant, station_id: Arc<str>) -> u64 {
        let mut records = self.lock();
        let number = records.counts.sent;
        records.counts.sent += 1;
        records.entries.push(LedgerEntry::new(planned, station_id));
        number
    }

    /// Records the response to a request, or its loss. The callback may have arrived before.
    pub(super) fn record_ack(&self, number: u64, ack: RequestAck) {
        let mut records = self.lock();
        let LedgerRecords { entries, counts } = &mut *records;
        let Some(entry) = index(number).and_then(|index| entries.get_mut(index)) else { return };
        counts.answered += 1;
        if matches!(ack, RequestAck::Accepted { .. }) {
            counts.accepted += 1;
            if entry.first_callback().is_none() {
                self.awaiting.send_modify(|awaiting| *awaiting += 1);
            }
        }
        entry.set_ack(ack);
    }

    /// Records a callback that arrived at `at`. Returns `None` if the request was never sent.
    pub(super) fn record_callback(
        &self,
        number: u64,
        at: Instant,
        webhook_id: Option<&str>,
        body: &[u8],
    ) -> Option<()> {
        let mut records = self.lock();
        let LedgerRecords { entries, counts } = &mut *records;
        let entry = index(number).and_then(|index| entries.get_mut(index))?;
        if entry.first_callback().is_none() {
            counts.called_back += 1;
            if matches!(entry.ack(), RequestAck::Accepted { .. }) {
                self.awaiting.send_modify(|awaiting| *awaiting = awaiting.saturating_sub(1));
            }
        }
        let after = at.saturating_duration_since(entry.planned());
        let status = callback::parse_status(body, entry.station_id(), &self.driver_token);
        entry.add_callback(ReceivedCallback { after, webhook_id: webhook_id.map(Box::from), status });
        Some(())
    }

    /// Counts a callback that belongs to no request.
    pub(super) fn record_stray(&self) {
        self.lock().counts.strays += 1;
    }

    /// Waits until every accepted request has its callback, at most for `limit`.
    pub(super) async fn wait_for_callbacks(&self, limit: Duration) {
        let mut awaiting = self.awaiting.subscribe();
        let _ = timeout(limit, awaiting.wait_for(|awaiting| *awaiting == 0)).await;
    }

    /// Returns the current counters.
    pub(super) fn counts(&self) -> LedgerCounts {
        self.lock().counts
    }

    /// Calls `visit` with every entry, in order.
    pub(super) fn for_each(&self, visit: impl FnMut(&LedgerEntry)) {
        self.lock().entries.iter().for_each(visit);
    }

    fn lock(&self) -> MutexGuard<'_, LedgerRecords> {
        self.records.lock()
    }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests;
