//! The queue.

use super::*;
use chargegate_storage::SystemClock;

#[tokio::test]
async fn an_acknowledged_message_is_deleted() {
    let mut harness = SqliteHarness::new().await;
    harness.enqueue("a").await;
    let leased = harness.lease(1).await;
    let keys: Vec<MessageKey> = leased.into_iter().map(|message| message.key).collect();
    harness.engine.ack(keys.clone()).await.unwrap();
    harness.engine.ack(keys).await.unwrap();
    harness.engine.ack(vec![MessageKey::from("another engine's".to_owned())]).await.unwrap();
    harness.reopen().await;
    assert!(harness.lease(1).await.is_empty());
}

#[tokio::test]
async fn a_released_message_is_redelivered_at_once_and_not_counted() {
    let harness = SqliteHarness::new().await;
    harness.enqueue("a").await;
    let leased = harness.lease(1).await;
    for _ in 0..2 {
        Queue::release(&harness.engine, vec![leased[0].key.clone()]).await.unwrap();
    }
    assert_eq!(harness.lease(1).await[0].deliveries, 1);
    harness.clock.advance(Duration::from_secs(30));
    let leased = harness.lease(1).await;
    Queue::release(&harness.engine, vec![leased[0].key.clone()]).await.unwrap();
    assert_eq!(harness.lease(1).await[0].deliveries, 2, "earlier deliveries count");
}

#[tokio::test]
async fn a_lease_ends_after_its_exact_duration() {
    let harness = SqliteHarness::new().await;
    harness.enqueue("a").await;
    harness.lease(1).await;
    harness.clock.advance(Duration::from_millis(29_999));
    assert!(harness.lease(1).await.is_empty());
    harness.clock.advance(Duration::from_millis(1));
    assert_eq!(harness.lease(1).await[0].deliveries, 2);
}

#[tokio::test]
async fn a_waiting_lease_gets_the_message_whose_lease_ends() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings { message_lease: Duration::from_millis(30), ..SqliteSettings::default() };
    let effects = Effects { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) };
    let engine = SqliteEngine::open(folder.path(), settings, effects).await.unwrap();
    engine.enqueue("a".to_owned()).await.unwrap();
    assert_eq!(engine.lease(1, NO_WAIT).await.unwrap()[0].deliveries, 1);
    assert_eq!(engine.lease(1, Duration::from_mins(1)).await.unwrap()[0].deliveries, 2);
}

#[tokio::test]
async fn a_cancelled_enqueue_affects_no_other_caller() {
    let harness = SqliteHarness::new().await;
    for _ in 0..20 {
        let mut given_up = Box::pin(harness.engine.enqueue("dropped".to_owned()));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        harness.enqueue("kept").await;
    }
    let leased = harness.lease(100).await;
    assert_eq!(leased.iter().filter(|message| message.body == b"kept").count(), 20);
    let waiting = harness.engine.depth().await.unwrap().waiting;
    assert_eq!(waiting, u64::try_from(leased.len()).unwrap());
}
