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

/// Returns a snapshot with the counter `enqueued`, which was `heartbeat.1` at heartbeat `heartbeat.0`.
fn seen(enqueued: u64, heartbeat: (u64, u64)) -> QueueSnapshot {
    QueueSnapshot { enqueued, heartbeat, newest: Vec::new() }
}

#[test]
fn outcomes_recorded_after_the_snapshot_count_as_enqueued() {
    assert!(balance(KNOWN, &seen(10, (5, 9)), books()).balanced());
    let later = StoreTotals { decided: 7, delivered: 5, newer: 2, ..books() };
    assert!(balance(KNOWN, &seen(10, (5, 9)), later).balanced());
}

#[test]
fn undecided_messages_of_a_reset_queue_are_lost() {
    let known = HistoryWatermark { enqueued: 2, forgotten: 9, ..KNOWN };
    let after = balance(known, &seen(3, (4, 2)), books());
    assert_eq!((after.enqueued, after.lost(), after.forgotten), (Some(12), Some(2), 9));
    assert!(!after.balanced());
}

#[test]
fn an_unrecorded_loss_is_counted() {
    let emptied = balance(KNOWN, &seen(0, (0, 0)), StoreTotals { unrecorded: 0, ..books() });
    assert_eq!((emptied.enqueued, emptied.lost(), emptied.forgotten), (Some(8), Some(1), 8));
    let part_deleted = balance(KNOWN, &seen(1, (4, 8)), StoreTotals { unrecorded: 1, ..books() });
    assert_eq!((part_deleted.enqueued, part_deleted.lost(), part_deleted.forgotten), (Some(8), Some(0), 7));
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
fn outcomes_beyond_the_enqueued_messages_are_unexplained() {
    let after = balance(KNOWN, &seen(8, (4, 8)), books());
    assert_eq!((after.lost(), after.unexplained()), (Some(0), Some(2)));
    assert!(!after.balanced());
}
