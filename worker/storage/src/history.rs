//! Whether a queue still knows what it was told.
//!
//! A queue on another server can lose what it confirmed: emptied by hand, restarted without its last writes, or
//! replaced by a replica that lagged. Its counter of messages goes back then, or not even that, where new messages
//! came in since. So each worker has the queue advance a *heartbeat* every second, and notes the heartbeat in the store: a
//! queue whose heartbeat is behind the store's note has forgotten, and its counter at that heartbeat tells how much.
//!
//! What was enqueued after the last noted heartbeat, and was lost with it, nobody can count: about a second's worth, or
//! more where no worker, or no store, was there to take note.

mod monitor;

pub use self::monitor::{HistoryMonitor, HistorySource, HistoryStore};

/// What the store remembers of a queue's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryWatermark {
    /// Counts the changes of this record, so that of two concurrent ones only the first is made.
    pub version: u64,
    /// The heartbeat last noted.
    pub heartbeat: u64,
    /// The queue's counter of messages at that heartbeat.
    pub enqueued: u64,
    /// Messages counted once that the queue's counter has since forgotten.
    pub forgotten: u64,
}

/// What a queue says of its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueObservation {
    /// The latest heartbeat it knows, and its counter of messages at that heartbeat. Both are zero in a new queue.
    pub kept_heartbeat: u64,
    /// See `kept_heartbeat`.
    pub kept_enqueued: u64,
    /// Its counter of messages now.
    pub enqueued: u64,
    /// The heartbeat it has begun with this observation, unless it knows a lower one than the observer: then it began none.
    pub begun_heartbeat: Option<u64>,
}

/// What an observation means for the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkAdvance {
    /// What to remember now.
    pub watermark: HistoryWatermark,
    /// How many messages the queue has forgotten since the last note, if it has; some may have been decided before.
    pub forgotten: Option<u64>,
}

impl HistoryWatermark {
    /// What follows from `seen`, which was observed knowing `self`.
    #[must_use]
    pub fn advance(self, seen: QueueObservation) -> WatermarkAdvance {
        let version = self.version.saturating_add(1);
        let (heartbeat, forgotten) = match seen.begun_heartbeat {
            // A counter only grows, unless a part of the queue was deleted.
            Some(heartbeat) => (heartbeat, self.enqueued.checked_sub(seen.enqueued).filter(|lost| *lost > 0)),
            // The queue begins the next heartbeat only when it is observed knowing this one: if this note is not written,
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

    /// Messages ever enqueued, when the queue's counter stands at `counter`.
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
    struct Queue {
        heartbeat: u64,
        at_heartbeat: u64,
        enqueued: u64,
    }

    impl Queue {
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

    fn tick(queue: &mut Queue, known: &mut HistoryWatermark) -> Option<u64> {
        let advance = known.advance(queue.observe(*known));
        *known = advance.watermark;
        advance.forgotten
    }

    #[test]
    fn what_is_kept_is_never_counted_as_forgotten() {
        let (mut queue, mut known) = (Queue::default(), HistoryWatermark::default());
        for enqueued in [0, 5, 5, 90] {
            queue.enqueued = enqueued;
            assert_eq!(tick(&mut queue, &mut known), None);
            assert_eq!(known.total(queue.enqueued), enqueued);
        }
    }

    #[test]
    fn an_emptied_queue_has_forgotten_all() {
        let (mut queue, mut known) = (Queue { enqueued: 7, ..Queue::default() }, HistoryWatermark::default());
        tick(&mut queue, &mut known);
        queue = Queue { enqueued: 2, ..Queue::default() };
        assert_eq!(tick(&mut queue, &mut known), Some(7));
        assert_eq!(known.total(queue.enqueued), 9);
        queue.enqueued = 3;
        assert_eq!(tick(&mut queue, &mut known), None, "a loss is found once");
        assert_eq!(known.total(queue.enqueued), 10);
    }

    #[test]
    fn a_lost_tail_is_found_even_when_newer_messages_outnumber_it() {
        let (mut queue, mut known) =
            (Queue { enqueued: 10, ..Queue::default() }, HistoryWatermark::default());
        tick(&mut queue, &mut known);
        let replica = queue;
        queue.enqueued = 14;
        tick(&mut queue, &mut known);
        queue = Queue { enqueued: 30, ..replica };
        assert_eq!(tick(&mut queue, &mut known), Some(4));
        assert_eq!(known.total(queue.enqueued), 34);
    }

    #[test]
    fn a_deleted_part_of_a_queue_that_keeps_its_beat_is_forgotten() {
        let (mut queue, mut known) = (Queue { enqueued: 8, ..Queue::default() }, HistoryWatermark::default());
        tick(&mut queue, &mut known);
        queue.enqueued = 3;
        assert_eq!(tick(&mut queue, &mut known), Some(5));
        assert_eq!(known.total(queue.enqueued), 8);
        assert_eq!(tick(&mut queue, &mut known), None, "a loss is found once");
    }

    #[test]
    fn an_observation_whose_note_was_never_written_loses_nothing() {
        let (mut queue, mut known) = (Queue { enqueued: 3, ..Queue::default() }, HistoryWatermark::default());
        let _crashed = queue.observe(known);
        queue.enqueued = 5;
        assert_eq!(tick(&mut queue, &mut known), None);
        queue = Queue { enqueued: 0, ..Queue::default() };
        let _crashed = queue.observe(known);
        assert_eq!(tick(&mut queue, &mut known), Some(5), "nor is a loss overlooked");
    }
}
