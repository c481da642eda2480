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
        QueueObservation { kept_heartbeat: heartbeat, kept_enqueued: at_heartbeat, enqueued, begun_heartbeat }
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
    assert_eq!(tick(&mut queue, &mut known), None, "a loss is reported once");
    assert_eq!(known.total(queue.enqueued), 10);
}

#[test]
fn a_lost_tail_is_detected_even_if_newer_messages_outnumber_it() {
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
    assert_eq!(tick(&mut queue, &mut known), None, "a loss is reported once");
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
    assert_eq!(tick(&mut queue, &mut known), Some(5), "the loss is detected later");
}
