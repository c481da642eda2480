//! The life cycle of messages over time.

use super::*;

fn queue(change: impl FnOnce(&mut EmulatedQueueSettings, &mut PullConsumerSettings)) -> EmulatedQueue {
    let mut settings = EmulatedQueueSettings::new("account", "id", "jobs");
    let mut pull = PullConsumerSettings::default();
    change(&mut settings, &mut pull);
    settings.consumer = QueueConsumer::HttpPull(pull);
    EmulatedQueue::new(settings)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_700_000_000 + seconds)
}

const MINUTE: LeaseMode = LeaseMode::For(Duration::from_mins(1));

/// Advances the queue and returns the counts (ready, leased, all, given up).
fn look(queue: &mut EmulatedQueue, now: Duration) -> (usize, usize, u64, usize) {
    let mut given_up = Vec::new();
    queue.advance(now, &mut given_up);
    (queue.ready(now), queue.leased(), queue.backlog().count, given_up.len())
}

fn lease(queue: &mut EmulatedQueue, now: Duration) -> LeaseId {
    let [delivery] = <[MessageDelivery; 1]>::try_from(queue.pull(1, MINUTE, now)).unwrap();
    delivery.lease
}

#[test]
fn a_message_is_leased_once_and_redelivered_when_the_lease_expires() {
    let mut queue = queue(|_, _| ());
    queue.send(EmulatorMessage::text("a"), None, at(0));
    let first = queue.pull(5, MINUTE, at(0)).remove(0);
    assert!(queue.pull(5, MINUTE, at(59)).is_empty());
    assert_eq!(look(&mut queue, at(59)), (0, 1, 1, 0));
    assert_eq!(look(&mut queue, at(60)), (1, 0, 1, 0));
    let second = queue.pull(5, MINUTE, at(60)).remove(0);
    assert_eq!((first.attempts, second.attempts), (1, 2));
    assert_eq!((first.id, first.sent), (second.id, second.sent));
    assert_ne!(first.lease, second.lease);
    assert_eq!(queue.outcomes().lapsed, 1);
}

#[test]
fn the_delay_of_a_message_takes_precedence_over_the_queues() {
    let mut queue = queue(|settings, _| settings.delivery_delay = Duration::from_secs(10));
    queue.send(EmulatorMessage::text("the queue's"), None, at(0));
    queue.send(EmulatorMessage::text("none"), Some(Duration::ZERO), at(0));
    queue.send(EmulatorMessage::text("its own"), Some(Duration::from_secs(20)), at(0));
    assert_eq!(look(&mut queue, at(9)).0, 1);
    assert_eq!(look(&mut queue, at(10)).0, 2);
    assert_eq!(look(&mut queue, at(19)).0, 2);
    assert_eq!(look(&mut queue, at(20)).0, 3);
}

#[test]
fn a_retried_message_is_visible_after_its_delay_or_the_consumers() {
    let mut queue = queue(|_, pull| {
        pull.retry_delay = Duration::from_secs(5);
        pull.max_retries = 9;
    });
    queue.send(EmulatorMessage::text("a"), None, at(0));
    let mut retry = |delay, now, expected: Duration| {
        let lease = lease(&mut queue, now);
        assert_eq!(queue.retry(&lease, delay, now, &mut Vec::new()), AckOutcome::Done);
        assert_eq!(queue.ready(expected.saturating_sub(Duration::from_millis(1))), 0);
        assert_eq!(queue.ready(expected), 1);
    };
    retry(None, at(0), at(5));
    retry(Some(Duration::ZERO), at(5), at(5));
    retry(Some(Duration::from_secs(9)), at(5), at(14));
    // The same applies to a message whose lease expired.
    let _ = lease(&mut queue, at(14));
    assert_eq!(look(&mut queue, at(78)).0, 0);
    assert_eq!(look(&mut queue, at(79)).0, 1);
}

#[test]
fn a_message_is_given_up_after_one_delivery_and_max_retries_more() {
    let mut queue = queue(|_, pull| pull.max_retries = 2);
    queue.send(EmulatorMessage::text("a"), None, at(0));
    let mut given_up = Vec::new();
    let first = lease(&mut queue, at(0));
    queue.retry(&first, None, at(0), &mut given_up);
    let _ = lease(&mut queue, at(0));
    assert_eq!(look(&mut queue, at(60)), (1, 0, 1, 0));
    let third = lease(&mut queue, at(60));
    queue.retry(&third, None, at(60), &mut given_up);
    assert_eq!(given_up, [EmulatorMessage::text("a")]);
    assert_eq!(queue.backlog(), QueueBacklog::default());
}

#[test]
fn an_expired_lease_still_acknowledges_but_does_not_retry() {
    let mut queue = queue(|_, _| ());
    queue.send(EmulatorMessage::text("a"), None, at(0));
    let first = lease(&mut queue, at(0));
    look(&mut queue, at(60));
    assert_eq!(queue.retry(&first, None, at(60), &mut Vec::new()), AckOutcome::TooLate);
    let second = lease(&mut queue, at(60));
    assert_eq!(queue.retry(&first, None, at(60), &mut Vec::new()), AckOutcome::TooLate);
    assert_eq!(queue.acknowledge(&first), AckOutcome::Done);
    assert_eq!(queue.acknowledge(&second), AckOutcome::TooLate);
    assert_eq!(look(&mut queue, at(60)), (0, 0, 0, 0));
    assert_eq!(queue.outcomes().acknowledged, 1);
}

#[test]
fn a_lease_of_another_queue_or_of_no_message_is_unknown() {
    let (mut one, mut other) = (queue(|_, _| ()), queue(|_, _| ()));
    for queue in [&mut one, &mut other] {
        queue.send(EmulatorMessage::text("a"), None, at(0));
    }
    let lease = lease(&mut one, at(0));
    assert_eq!(other.acknowledge(&lease), AckOutcome::Unknown);
    assert_eq!(one.acknowledge(&LeaseId::new(one.origin, 1, 1)), AckOutcome::Unknown);
    assert_eq!(one.acknowledge(&lease), AckOutcome::Done);
}

#[test]
fn messages_expire_at_the_end_of_the_retention_leased_or_not() {
    let mut queue = queue(|settings, _| settings.retention = Duration::from_secs(100));
    queue.send(EmulatorMessage::text("leased"), None, at(0));
    let lease = lease(&mut queue, at(50));
    queue.send(EmulatorMessage::text("delayed"), Some(Duration::from_mins(5)), at(1));
    queue.send(EmulatorMessage::text("younger"), None, at(2));
    assert_eq!(look(&mut queue, at(99)), (1, 1, 3, 0));
    assert_eq!(look(&mut queue, at(101)), (1, 0, 1, 0));
    assert_eq!(queue.outcomes().expired, 2);
    assert_eq!(queue.acknowledge(&lease), AckOutcome::TooLate);
    assert_eq!(queue.backlog(), QueueBacklog { count: 1, bytes: 7, oldest: at(2) });
}

#[test]
fn a_paused_queue_accepts_messages_and_delivers_none() {
    let mut queue = queue(|settings, _| settings.delivery_paused = true);
    queue.send(EmulatorMessage::text("a"), None, at(0));
    assert!(queue.pull(5, MINUTE, at(0)).is_empty());
    assert_eq!(queue.ready(at(0)), 1);
}

#[test]
fn a_delivery_without_a_lease_is_repeated_and_both_leases_acknowledge() {
    let mut queue = queue(|_, _| ());
    queue.send(EmulatorMessage::text("a"), None, at(0));
    let first = queue.pull(5, LeaseMode::Forgotten, at(0)).remove(0);
    let second = queue.pull(5, MINUTE, at(0)).remove(0);
    assert_eq!(first.id, second.id);
    assert_eq!(queue.acknowledge(&second.lease), AckOutcome::Done);
    assert_eq!(queue.acknowledge(&first.lease), AckOutcome::TooLate);
}
