//! Failures of the service and of its callers.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{LONG, keys, lease, spawn_lease};
use crate::engine::fake_service::{FAKE_SETTINGS, FakeCall, FakePullService, ROUND_TRIP, down};
use crate::engine::{PullServiceError, PullSettings};
use chargegate_storage::QueueError;
use chargegate_storage::queue::{EnqueueFailure, Queue as _};
use chargegate_storage::testing::eventually;

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_and_retried_with_backoff() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    fake.fail_with((0..50).map(|_| down()));
    let begun = Instant::now();
    let failed = engine.lease(1, Duration::from_millis(500)).await;
    assert!(matches!(failed, Err(QueueError::Unavailable(_))), "{failed:?}");
    assert!(begun.elapsed() >= Duration::from_millis(500), "the service may recover within the wait");
    sleep(LONG).await;
    fake.calls();
    assert_eq!(lease(&engine, 1).await.len(), 1);
    let calls = fake.timed_calls();
    let gaps: Vec<_> = calls.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0)).collect();
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(5) + ROUND_TRIP * 2), "{gaps:?}");
    let mean = gaps.iter().sum::<Duration>() / u32::try_from(gaps.len()).unwrap();
    assert!(mean >= Duration::from_secs(1), "{mean:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_engine_makes_no_calls_until_the_requested_time() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(2);
    let leased = lease(&engine, 1).await;
    fake.calls();
    let retry_after = Duration::from_secs(20);
    let at_least = Duration::from_secs(19);
    fake.fail_with([PullServiceError::Throttled { retry_after: Some(retry_after) }]);
    let leasing = spawn_lease(&engine, 1);
    eventually(LONG, || !fake.calls().is_empty()).await;
    sleep(ROUND_TRIP * 2).await;
    let closed = Instant::now();

    assert!(matches!(engine.enqueue("x".to_owned()).await, Err(EnqueueFailure::Unavailable(_))));
    assert!(engine.depth().await.is_err());
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(leasing.await.unwrap().len(), 1);
    let calls = fake.timed_calls();
    assert!(calls.iter().all(|(at, _)| at.duration_since(closed) >= at_least), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ack_throttled_beyond_its_lease_fails() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    fake.fail_with([PullServiceError::Throttled { retry_after: Some(LONG * 5) }]);
    let begun = Instant::now();
    assert!(engine.ack(keys(&leased)).await.is_err());
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_ack_fails_at_once_if_throttling_outlasts_its_lease() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    fake.fail_with([PullServiceError::Throttled { retry_after: Some(LONG * 5) }]);
    assert!(engine.enqueue("x".to_owned()).await.is_err());
    fake.calls();
    let begun = Instant::now();
    assert!(engine.ack(keys(&leased)).await.is_err());
    assert!(begun.elapsed() < ROUND_TRIP, "{:?}", begun.elapsed());
    assert_eq!(fake.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn an_ack_throttled_beyond_its_lease_succeeds_if_extended() {
    let fake = FakePullService::new(PullSettings {
        lease: Duration::from_secs(6),
        extend_for: LONG,
        ..FAKE_SETTINGS
    });
    let (engine, begun) = (fake.engine(), Instant::now());
    fake.put(1);
    let leased = lease(&engine, 1).await;
    // The extension is in flight.
    sleep_until(begun + Duration::from_secs(3) + ROUND_TRIP / 2).await;
    assert_eq!(fake.calls(), [FakeCall::Receive(1), FakeCall::Extend(1)]);
    // Without the extension the ack would be too late.
    fake.fail_with([PullServiceError::Throttled { retry_after: Some(Duration::from_secs(4)) }]);
    engine.ack(keys(&leased)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(6));
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_depth_call_delays_no_message() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    fake.fail_with([PullServiceError::Throttled { retry_after: Some(LONG) }]);
    let begun = Instant::now();
    assert!(engine.depth().await.is_err());
    assert!(engine.depth().await.is_err());
    let leased = lease(&engine, 1).await;
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(
        fake.calls(),
        [FakeCall::Depth, FakeCall::Receive(1), FakeCall::Ack { acked: 1, released: 0 }]
    );
    assert_eq!(begun.elapsed(), ROUND_TRIP * 3);
    sleep(LONG).await;
    assert_eq!(engine.depth().await.unwrap().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_delays_messages_by_a_lease_and_loses_none() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(10);
    fake.lose_responses(1);
    let begun = Instant::now();
    let leased = lease(&engine, 10).await;
    assert!(begun.elapsed() >= FAKE_SETTINGS.lease);
    assert!(leased.iter().all(|message| message.deliveries == 2));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_loses_nothing() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let leasing = spawn_lease(&engine, 5);
    eventually(LONG, || fake.calls().contains(&FakeCall::Receive(5))).await;
    leasing.abort();
    assert!(leasing.await.is_err());
    fake.put(5);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(fake.visible(), 0);
    let mut leased = engine.lease(2, Duration::ZERO).await.unwrap();
    assert_eq!(leased.len(), 2, "the next lease gets messages of the dropped one");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(fake.visible(), 3, "messages that no lease gets are released");
    leased.extend(lease(&engine, 3).await);
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_message_in_flight_is_not_leased_twice() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    sleep(FAKE_SETTINGS.lease).await;
    let again = engine.lease(1, Duration::from_secs(5)).await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(fake.visible(), 0, "the message was redelivered");
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 0, "the newest lease was acked");
}

#[tokio::test(start_paused = true)]
async fn a_message_redelivered_during_its_ack_has_its_new_lease_ended() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    sleep(FAKE_SETTINGS.lease).await;
    let leasing = spawn_lease(&engine, 1);
    sleep(ROUND_TRIP / 10).await;
    assert_eq!(fake.visible(), 1, "the call has not reached the service");
    let acknowledging = engine.ack(keys(&leased));
    tokio::time::timeout(LONG, acknowledging).await.expect("the ack completes").unwrap();
    assert_eq!(fake.remaining(), 0);
    leasing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_engine_ends_its_tasks() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let ended = engine.tasks.ended.clone();
    drop(engine);
    tokio::time::timeout(LONG, ended.cancelled()).await.unwrap();
}
