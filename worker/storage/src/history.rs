//! Detection of messages that a queue confirmed and then lost.
//!
//! A queue on another server can lose confirmed messages: it was emptied by hand, restarted without its last writes, or
//! replaced by a replica that lagged. Its message counter goes back then, or not even that, if new messages have
//! arrived since. So each worker advances a *heartbeat* in the queue every second and records it in the store: a queue
//! whose heartbeat is behind the recorded one has lost messages, and its counter at that heartbeat shows how many.
//!
//! Messages that were enqueued after the last recorded heartbeat and lost with it cannot be counted: about one second of
//! traffic, or more if no worker, or no store, was available to record heartbeats.

mod monitor;

pub use self::monitor::{HistoryMonitor, HistorySource, HistoryStore};

/// The recorded state of a queue's history, kept in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryWatermark {
    /// Version of this record: of two concurrent changes only the first succeeds.
    pub version: u64,
    /// The last recorded heartbeat.
    pub heartbeat: u64,
    /// The queue's message counter at that heartbeat.
    pub enqueued: u64,
    /// Messages that were counted once and that the queue's counter has lost since.
    pub forgotten: u64,
}

/// The history of a queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueObservation {
    /// The latest heartbeat in the queue; zero in a new queue.
    pub kept_heartbeat: u64,
    /// The message counter at that heartbeat; zero in a new queue.
    pub kept_enqueued: u64,
    /// The message counter now.
    pub enqueued: u64,
    /// The heartbeat that this observation began; `None` if the queue knows only a lower one than the observer.
    pub begun_heartbeat: Option<u64>,
}

/// The consequence of an observation for the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkAdvance {
    /// The new watermark.
    pub watermark: HistoryWatermark,
    /// The number of messages that the queue has lost since the last record, if any; some may have been decided before.
    pub forgotten: Option<u64>,
}

impl HistoryWatermark {
    /// Returns the consequence of `seen`, an observation made with the knowledge of `self`.
    #[must_use]
    pub fn advance(self, seen: QueueObservation) -> WatermarkAdvance {
        let version = self.version.saturating_add(1);
        let (heartbeat, forgotten) = match seen.begun_heartbeat {
            // The counter only grows, unless a part of the queue was deleted.
            Some(heartbeat) => (heartbeat, self.enqueued.checked_sub(seen.enqueued).filter(|lost| *lost > 0)),
            // The queue begins the next heartbeat only when the observer knows this one: if this record is not written,
            // the loss is found again.
            None => (seen.kept_heartbeat, Some(self.enqueued.saturating_sub(seen.kept_enqueued))),
        };
        let watermark = Self {
            version,
            heartbeat,
            enqueued: seen.enqueued,
            forgotten: self.forgotten.saturating_add(forgotten.unwrap_or_default()),
        };
        WatermarkAdvance { watermark, forgotten }
    }

    /// Returns the number of messages ever enqueued, given the queue's `counter`.
    #[must_use]
    pub fn total(self, counter: u64) -> u64 {
        self.forgotten.saturating_add(counter)
    }
}

#[cfg(test)]
mod tests;
