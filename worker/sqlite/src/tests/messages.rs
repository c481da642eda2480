//! The queue.

use super::*;
use chargegate_storage::SystemClock;

#[tokio::test]
async fn an_acknowledged_message_is_gone() {
    let mut bench = Bench::new().await;
    bench.enqueue("a").await;
    let leased = bench.lease(1).await;
    let keys: Vec<MessageKey> = leased.into_iter().map(|message| message.key).collect();
    bench.engine.ack(keys.clone()).await.unwrap();
    bench.engine.ack(keys).await.unwrap();
    bench.engine.ack(vec![MessageKey::from("another engine's".to_owned())]).await.unwrap();
    bench.reopen().await;
    assert!(bench.lease(1).await.is_empty());
}

#[tokio::test]
async fn a_released_message_comes_at_once_and_its_delivery_does_not_count() {
    let bench = Bench::new().await;
    bench.enqueue("a").await;
    let leased = bench.lease(1).await;
    for _ in 0..2 {
        Queue::release(&bench.engine, vec![leased[0].key.clone()]).await.unwrap();
    }
    assert_eq!(bench.lease(1).await[0].deliveries, 1);
    bench.clock.advance(Duration::from_secs(30));
    let leased = bench.lease(1).await;
    Queue::release(&bench.engine, vec![leased[0].key.clone()]).await.unwrap();
    assert_eq!(bench.lease(1).await[0].deliveries, 2, "those before it count");
}

#[tokio::test]
async fn a_lease_ends_when_its_time_is_over() {
    let bench = Bench::new().await;
    bench.enqueue("a").await;
    bench.lease(1).await;
    bench.clock.advance(Duration::from_millis(29_999));
    assert!(bench.lease(1).await.is_empty());
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.lease(1).await[0].deliveries, 2);
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
async fn a_caller_that_stops_waiting_harms_nobody() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        let mut given_up = Box::pin(bench.engine.enqueue("dropped".to_owned()));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        bench.enqueue("kept").await;
    }
    let leased = bench.lease(100).await;
    assert_eq!(leased.iter().filter(|message| message.body == b"kept").count(), 20);
    let waiting = bench.engine.depth().await.unwrap().waiting;
    assert_eq!(waiting, u64::try_from(leased.len()).unwrap());
}
