//! Whether a queue still knows what it was told.
//!
//! A queue on another server can lose what it confirmed: emptied by hand, restarted without its last writes, or
//! replaced by a replica that lagged. Its counter of messages goes back then, or not even that, where new messages
//! came in since. So each worker has the queue advance a *beat* every second, and notes the beat in the store: a
//! queue whose beat is behind the store's note has forgotten, and its counter at that beat tells how much.
//!
//! What was enqueued after the last noted beat, and was lost with it, nobody can count: about a second's worth, or
//! more where no worker, or no store, was there to take note.

mod watch;

pub use self::watch::{HistoryWatch, Observe, Remember};

/// What the store remembers of a queue's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Counts the changes of this record, so that of two concurrent ones only the first is made.
    pub version: u64,
    /// The beat last noted.
    pub beat: u64,
    /// The queue's counter of messages at that beat.
    pub enqueued: u64,
    /// Messages counted once that the queue's counter has since forgotten.
    pub forgotten: u64,
}

/// What a queue says of its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The latest beat it knows, and its counter of messages at that beat. Both are zero in a new queue.
    pub kept_beat: u64,
    /// See `kept_beat`.
    pub kept_enqueued: u64,
    /// Its counter of messages now.
    pub enqueued: u64,
    /// The beat it has begun with this observation, unless it knows a lower one than the observer: then it began none.
    pub begun_beat: Option<u64>,
}

/// What an observation means for the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// What to remember now.
    pub watermark: Watermark,
    /// How many messages the queue has forgotten since the last note, if it has; some may have been decided before.
    pub forgotten: Option<u64>,
}

impl Watermark {
    /// What follows from `seen`, which was observed knowing `self`.
    #[must_use]
    pub fn advance(self, seen: Observation) -> Advance {
        let version = self.version.saturating_add(1);
        let (beat, forgotten) = match seen.begun_beat {
            // A counter only grows, unless a part of the queue was deleted.
            Some(beat) => (beat, self.enqueued.checked_sub(seen.enqueued).filter(|lost| *lost > 0)),
            // The queue begins the next beat only when it is observed knowing this one: if this note is not written,
            // the loss is found again.
            None => (seen.kept_beat, Some(self.enqueued.saturating_sub(seen.kept_enqueued))),
        };
        let watermark = Self {
            version,
            beat,
            enqueued: seen.enqueued,
            forgotten: self.forgotten.saturating_add(forgotten.unwrap_or_default()),
        };
        Advance { watermark, forgotten }
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
        beat: u64,
        at_beat: u64,
        enqueued: u64,
    }

    impl Queue {
        fn observe(&mut self, known: Watermark) -> Observation {
            let Self { beat, at_beat, enqueued } = *self;
            let begins = beat >= known.beat;
            if begins {
                *self = Self { beat: beat + 1, at_beat: enqueued, enqueued };
            }
            let begun_beat = begins.then_some(beat + 1);
            Observation { kept_beat: beat, kept_enqueued: at_beat, enqueued, begun_beat }
        }
    }

    fn tick(queue: &mut Queue, known: &mut Watermark) -> Option<u64> {
        let advance = known.advance(queue.observe(*known));
        *known = advance.watermark;
        advance.forgotten
    }

    #[test]
    fn what_is_kept_is_never_counted_as_forgotten() {
        let (mut queue, mut known) = (Queue::default(), Watermark::default());
        for enqueued in [0, 5, 5, 90] {
            queue.enqueued = enqueued;
            assert_eq!(tick(&mut queue, &mut known), None);
            assert_eq!(known.total(queue.enqueued), enqueued);
        }
    }

    #[test]
    fn an_emptied_queue_has_forgotten_all() {
        let (mut queue, mut known) = (Queue { enqueued: 7, ..Queue::default() }, Watermark::default());
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
        let (mut queue, mut known) = (Queue { enqueued: 10, ..Queue::default() }, Watermark::default());
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
        let (mut queue, mut known) = (Queue { enqueued: 8, ..Queue::default() }, Watermark::default());
        tick(&mut queue, &mut known);
        queue.enqueued = 3;
        assert_eq!(tick(&mut queue, &mut known), Some(5));
        assert_eq!(known.total(queue.enqueued), 8);
        assert_eq!(tick(&mut queue, &mut known), None, "a loss is found once");
    }

    #[test]
    fn an_observation_whose_note_was_never_written_loses_nothing() {
        let (mut queue, mut known) = (Queue { enqueued: 3, ..Queue::default() }, Watermark::default());
        let _crashed = queue.observe(known);
        queue.enqueued = 5;
        assert_eq!(tick(&mut queue, &mut known), None);
        queue = Queue { enqueued: 0, ..Queue::default() };
        let _crashed = queue.observe(known);
        assert_eq!(tick(&mut queue, &mut known), Some(5), "nor is a loss overlooked");
    }
}
