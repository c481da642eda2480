use super::*;

const LEASE: Duration = Duration::from_secs(30);

fn received(receipt: &str) -> Received {
    Received {
        key: key(),
        receipt: Receipt::from(receipt.to_owned()),
        body: Vec::new(),
        enqueued_at: None,
        deliveries: 1,
    }
}

fn key() -> MessageKey {
    MessageKey::from("key".to_owned())
}

fn take(held: &Held, receipt: &str) -> Arrival {
    held.take(&received(receipt), Instant::now())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_to_its_holder_only_renews_its_lease() {
    let held = Held::new(LEASE);
    assert_eq!(take(&held, "1"), Arrival::New);
    tokio::time::advance(LEASE).await;
    assert_eq!(take(&held, "2"), Arrival::Again);
    let lease = held.end(&key(), Outcome::Done).unwrap();
    assert_eq!((lease.receipt.as_str(), lease.until), ("2", Instant::now() + LEASE));
    assert_eq!(held.end(&key(), Outcome::Done), None, "it is being ended");
    assert!(held.let_go(&key(), &lease.receipt));
    assert_eq!((held.count(), take(&held, "3")), (0, Arrival::New));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_lost_a_message_does_not_keep_it_from_all() {
    let held = Held::new(LEASE);
    take(&held, "1");
    for _ in 0..MAX_REPEATS {
        assert_eq!(take(&held, "again"), Arrival::Again);
    }
    assert_eq!(take(&held, "new"), Arrival::New);
    assert_eq!(take(&held, "again"), Arrival::Again);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_while_its_lease_is_ended_has_its_new_lease_ended_too() {
    let held = Held::new(LEASE);
    take(&held, "1");
    let first = held.end(&key(), Outcome::Done).unwrap();
    assert_eq!(take(&held, "2"), Arrival::Again);
    assert!(!held.let_go(&key(), &first.receipt));
    let second = held.renewed(&key()).unwrap();
    assert_eq!(second.receipt.as_str(), "2");
    assert!(held.let_go(&key(), &second.receipt));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_handed_back_is_new_when_it_comes() {
    let held = Held::new(LEASE);
    take(&held, "1");
    let first = held.end(&key(), Outcome::Back).unwrap();
    assert_eq!(take(&held, "2"), Arrival::New);
    assert_eq!(held.renewed(&key()), None, "its new holder decides");
    assert!(held.let_go(&key(), &first.receipt));
    held.give_up(&key());
    assert_eq!(held.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_settled_is_new_when_it_comes() {
    let held = Held::new(LEASE);
    take(&held, "1");
    held.end(&key(), Outcome::Done).unwrap();
    held.give_up(&key());
    assert_eq!(take(&held, "2"), Arrival::New);
}

#[tokio::test(start_paused = true)]
async fn leases_that_end_soon_are_extended_but_not_for_ever() {
    let held = Held::new(LEASE);
    let came = Instant::now();
    take(&held, "1");
    let at = |after: u64| came + Duration::from_secs(after);
    let before = came.checked_sub(LEASE).unwrap();
    assert!(held.ending(at(30), before).is_empty());
    let due = held.ending(at(31), before);
    assert_eq!(due.len(), 1);
    assert!(held.ending(at(31), came).is_empty(), "it came too long ago");
    for (key, receipt) in &due {
        held.extended(key, receipt, at(10));
    }
    assert!(held.ending(at(40), before).is_empty());
    assert_eq!(held.ending(at(41), before).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_settles_is_forgotten_in_the_end() {
    let held = Held::new(LEASE);
    take(&held, "1");
    tokio::time::advance(FORGET_AFTER.saturating_sub(LEASE)).await;
    held.forget_old();
    assert_eq!(held.count(), 1);
    tokio::time::advance(LEASE).await;
    held.forget_old();
    assert_eq!(held.count(), 0);
}
