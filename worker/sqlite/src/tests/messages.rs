//! The queue.

use super::*;
use crate::EnqueueFailure;
use chargegate_storage::SystemClock;
use chargegate_storage::queue::QueueDepth;
use chargegate_storage::{QueueError, StoreError};

#[tokio::test]
async fn messages_come_oldest_first_and_once() {
    let bench = Bench::new().await;
    for body in ["a", "b", "c"] {
        bench.enqueue(body).await;
    }
    let first = bench.lease(2).await;
    assert_eq!(keys(&first), ["1", "2"]);
    assert_eq!(first[0].body, b"a");
    assert_eq!(first[0].enqueued_at, None, "the time of the commit is no other clock's");
    assert_eq!(first[0].deliveries, 1);
    assert_eq!(keys(&bench.lease(2).await), ["3"]);
    assert!(bench.lease(2).await.is_empty());
}

#[tokio::test]
async fn any_text_comes_out_as_it_went_in() {
    let bench = Bench::new().await;
    for body in ["", "\0 and \u{1f50c}", &"x".repeat(16 * 1024)] {
        bench.enqueue(body).await;
        let leased = bench.lease(1).await;
        assert_eq!(leased[0].body, body.as_bytes());
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let bench = Bench::new().await;
    let refused = bench.engine.enqueue("x".repeat(16 * 1024 + 1)).await;
    assert!(matches!(refused, Err(EnqueueFailure::TooLarge)));
}

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
async fn a_waiting_lease_gets_the_message_that_arrives() {
    let bench = Bench::new().await;
    let engine = bench.engine.clone();
    let waiting = tokio::spawn(async move { engine.lease(10, Duration::from_mins(1)).await });
    bench.enqueue("a").await;
    assert_eq!(keys(&waiting.await.unwrap().unwrap()), ["1"]);
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
async fn an_empty_queue_gives_nothing_when_the_wait_is_over() {
    let bench = Bench::new().await;
    assert!(bench.engine.lease(1, Duration::from_millis(5)).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_depth_limit_is_exact_among_concurrent_callers() {
    let mut bench = Bench::with(SqliteSettings { depth_limit: 100, ..SqliteSettings::default() }).await;
    let callers: Vec<_> = (0..150)
        .map(|n| {
            let engine = bench.engine.clone();
            tokio::spawn(async move { engine.enqueue(n.to_string()).await })
        })
        .collect();
    let mut taken = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(()) => taken += 1,
            Err(EnqueueFailure::DepthLimit) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(taken, 100);
    assert_eq!(bench.number("SELECT count(*) FROM queue").await, 100);
    assert_eq!(bench.engine.depth().await.unwrap(), QueueDepth { waiting: 100, limit: 100 });

    let leased = bench.lease(3).await;
    assert!(matches!(bench.engine.enqueue(String::new()).await, Err(EnqueueFailure::DepthLimit)));
    bench.engine.ack(leased.into_iter().map(|message| message.key).collect()).await.unwrap();
    bench.reopen().await;
    assert_eq!(bench.engine.depth().await.unwrap().waiting, 97);
    for _ in 0..3 {
        bench.enqueue("more").await;
    }
    assert!(matches!(bench.engine.enqueue(String::new()).await, Err(EnqueueFailure::DepthLimit)));
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

#[tokio::test]
async fn a_closed_engine_says_so() {
    let bench = Bench::new().await;
    bench.enqueue("a").await;
    bench.engine.close().await;
    bench.engine.close().await;
    assert!(matches!(bench.engine.enqueue("b".to_owned()).await, Err(EnqueueFailure::Closed)));
    assert!(matches!(bench.engine.lease(1, NO_WAIT).await, Err(QueueError::Closed)));
    assert!(matches!(bench.engine.backlog().await, Err(StoreError::Closed)));
}
