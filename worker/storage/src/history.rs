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
mod tests {
    use super::*;

    /// A queue that keeps its history as the engines do.
    #[derive(Clone, Copy, Default)]
    struct ScriptedQueue {
        heartbeat: u64,
        at_heartbeat: u64,
        enqueued: u64,
    }

    impl ScriptedQueue {
        fn observe(&mut self, known: HistoryWatermark) -> QueueObservation {
            let Self { heartbeat, at_heartbeat, enqueued } = *self;
            let begins = heartbeat >= known.heartbeat;
            if begins {
                *self = Self { heartbeat: heartbeat + 1, at_heartbeat: enqueued, enqueued };
            }
            let begun_heartbeat = begins.then_some(heartbeat + 1);
            QueueObservation {
                kept_heartbeat: heartbeat,
                kept_enqueued: at_heartbeat,
                enqueued,
                begun_heartbeat,
            }
        }
    }

    fn tick(queue: &mut ScriptedQueue, known: &mut HistoryWatermark) -> Option<u64> {
        let advance = known.advance(queue.observe(*known));
        *known = advance.watermark;
        advance.forgotten
    }

    #[test]
    fn kept_messages_are_never_counted_as_lost() {
        let (mut queue, mut known) = (ScriptedQueue::default(), HistoryWatermark::default());
        for enqueued in [0, 5, 5, 90] {
            queue.enqueued = enqueued;
            assert_eq!(tick(&mut queue, &mut known), None);
            assert_eq!(known.total(queue.enqueued), enqueued);
        }
    }

    #[test]
    fn an_emptied_queue_has_lost_all_messages() {
        let (mut queue, mut known) =
            (ScriptedQueue { enqueued: 7, ..ScriptedQueue::default() }, HistoryWatermark::default());
        tick(&mut queue, &mut known);
        queue = ScriptedQueue { enqueued: 2, ..ScriptedQueue::default() };
        assert_eq!(tick(&mut queue, &mut known), Some(7));
        assert_eq!(known.total(queue.enqueued), 9);
        queue.enqueued = 3;
        assert_eq!(tick(&mut queue, &mut known), None, "a loss is found once");
        assert_eq!(known.total(queue.enqueued), 10);
    }

    #[test]
    fn a_lost_tail_is_found_even_when_newer_messages_outnumber_it() {
        let (mut queue, mut known) =
            (ScriptedQueue { enqueued: 10, ..ScriptedQueue::default() }, HistoryWatermark::default());
        tick(&mut queue, &mut known);
        let replica = queue;
        queue.enqueued = 14;
        tick(&mut queue, &mut known);
        queue = ScriptedQueue { enqueued: 30, ..replica };
        assert_eq!(tick(&mut queue, &mut known), Some(4));
        assert_eq!(known.total(queue.enqueued), 34);
    }

    #[test]
    fn a_deleted_part_of_a_queue_counts_as_lost() {
        let (mut queue, mut known) =
            (ScriptedQueue { enqueued: 8, ..ScriptedQueue::default() }, HistoryWatermark::default());
        tick(&mut queue, &mut known);
        queue.enqueued = 3;
        assert_eq!(tick(&mut queue, &mut known), Some(5));
        assert_eq!(known.total(queue.enqueued), 8);
        assert_eq!(tick(&mut queue, &mut known), None, "a loss is found once");
    }

    #[test]
    fn an_observation_that_was_not_recorded_changes_nothing() {
        let (mut queue, mut known) =
            (ScriptedQueue { enqueued: 3, ..ScriptedQueue::default() }, HistoryWatermark::default());
        let _crashed = queue.observe(known);
        queue.enqueued = 5;
        assert_eq!(tick(&mut queue, &mut known), None);
        queue = ScriptedQueue { enqueued: 0, ..ScriptedQueue::default() };
        let _crashed = queue.observe(known);
        assert_eq!(tick(&mut queue, &mut known), Some(5), "nor is a loss overlooked");
    }
}
