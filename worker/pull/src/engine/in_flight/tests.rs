use super::*;

const LEASE: Duration = Duration::from_secs(30);

fn received(receipt: &str) -> ReceivedMessage {
    ReceivedMessage {
        key: key(),
        receipt: LeaseReceipt::from(receipt.to_owned()),
        body: Vec::new(),
        enqueued_at: None,
        deliveries: 1,
    }
}

fn key() -> MessageKey {
    MessageKey::from("key".to_owned())
}

fn insert(in_flight: &InFlightMessages, receipt: &str) -> ArrivalKind {
    in_flight.insert(&received(receipt), Instant::now())
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_message_in_flight_only_renews_its_lease() {
    let in_flight = InFlightMessages::new(LEASE);
    assert_eq!(insert(&in_flight, "1"), ArrivalKind::New);
    tokio::time::advance(LEASE).await;
    assert_eq!(insert(&in_flight, "2"), ArrivalKind::Redelivered);
    let lease = in_flight.begin_end(&key(), LeaseOutcome::Ack).unwrap();
    assert_eq!((lease.receipt.as_str(), lease.until), ("2", Instant::now() + LEASE));
    assert_eq!(in_flight.begin_end(&key(), LeaseOutcome::Ack), None, "its ack is in progress");
    assert!(in_flight.remove(&key(), &lease.receipt));
    assert_eq!((in_flight.len(), insert(&in_flight, "3")), (0, ArrivalKind::New));
}

#[tokio::test(start_paused = true)]
async fn a_message_redelivered_too_often_counts_as_new() {
    let in_flight = InFlightMessages::new(LEASE);
    insert(&in_flight, "1");
    for _ in 0..MAX_REDELIVERIES {
        assert_eq!(insert(&in_flight, "again"), ArrivalKind::Redelivered);
    }
    assert_eq!(insert(&in_flight, "new"), ArrivalKind::New);
    assert_eq!(insert(&in_flight, "again"), ArrivalKind::Redelivered);
}

#[tokio::test(start_paused = true)]
async fn a_message_redelivered_during_its_ack_is_acked_again() {
    let in_flight = InFlightMessages::new(LEASE);
    insert(&in_flight, "1");
    let first = in_flight.begin_end(&key(), LeaseOutcome::Ack).unwrap();
    assert_eq!(insert(&in_flight, "2"), ArrivalKind::Redelivered);
    assert!(!in_flight.remove(&key(), &first.receipt));
    let second = in_flight.renewed(&key()).unwrap();
    assert_eq!(second.receipt.as_str(), "2");
    assert!(in_flight.remove(&key(), &second.receipt));
}

#[tokio::test(start_paused = true)]
async fn a_released_message_is_new_when_redelivered() {
    let in_flight = InFlightMessages::new(LEASE);
    insert(&in_flight, "1");
    let first = in_flight.begin_end(&key(), LeaseOutcome::Release).unwrap();
    assert_eq!(insert(&in_flight, "2"), ArrivalKind::New);
    assert_eq!(in_flight.renewed(&key()), None, "the new delivery is not released");
    assert!(in_flight.remove(&key(), &first.receipt));
    in_flight.abandon(&key());
    assert_eq!(in_flight.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_message_is_new_when_redelivered() {
    let in_flight = InFlightMessages::new(LEASE);
    insert(&in_flight, "1");
    in_flight.begin_end(&key(), LeaseOutcome::Ack).unwrap();
    in_flight.abandon(&key());
    assert_eq!(insert(&in_flight, "2"), ArrivalKind::New);
}

#[tokio::test(start_paused = true)]
async fn leases_that_end_soon_are_extended_but_not_forever() {
    let in_flight = InFlightMessages::new(LEASE);
    let received_at = Instant::now();
    insert(&in_flight, "1");
    let at = |after: u64| received_at + Duration::from_secs(after);
    let before = received_at.checked_sub(LEASE).unwrap();
    assert!(in_flight.ending(at(30), before).is_empty());
    let due = in_flight.ending(at(31), before);
    assert_eq!(due.len(), 1);
    assert!(in_flight.ending(at(31), received_at).is_empty(), "it was received too long ago");
    for (key, receipt) in &due {
        in_flight.note_extended(key, receipt, at(10));
    }
    assert!(in_flight.ending(at(40), before).is_empty());
    assert_eq!(in_flight.ending(at(41), before).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unsettled_message_is_removed_at_its_maximum_age() {
    let in_flight = InFlightMessages::new(LEASE);
    insert(&in_flight, "1");
    tokio::time::advance(MAX_AGE.saturating_sub(LEASE)).await;
    in_flight.remove_abandoned();
    assert_eq!(in_flight.len(), 1);
    tokio::time::advance(LEASE).await;
    in_flight.remove_abandoned();
    assert_eq!(in_flight.len(), 0);
}
