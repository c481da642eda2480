//! Size and number of receive calls.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{LONG, keys, lease, spawn_lease};
use crate::engine::fake_service::{FAKE_SETTINGS, FakeCall, FakePullService, ROUND_TRIP, down};
use crate::engine::{IdlePolicy, PullEngine, PullSettings};
use chargegate_storage::queue::Queue as _;
use chargegate_storage::testing::eventually;

fn receives(calls: &[FakeCall]) -> Vec<usize> {
    let receive = |call: &FakeCall| if let FakeCall::Receive(count) = call { Some(*count) } else { None };
    calls.iter().filter_map(receive).collect()
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_are_received_than_leases_ask_for() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1_000);
    sleep(LONG).await;
    assert_eq!(fake.calls(), [], "no calls without a lease");
    assert_eq!(lease(&engine, 7).await.len(), 7);
    assert_eq!(fake.visible(), 993);
    assert_eq!(lease(&engine, 250).await.len(), 250);
    assert_eq!(fake.visible(), 743);
    assert!(engine.lease(0, LONG).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn concurrent_leases_share_the_calls() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let leasing = [30, 40, 30].map(|max| spawn_lease(&engine, max));
    tokio::task::yield_now().await;
    fake.put(100);
    let mut received = 0;
    for leasing in leasing {
        received += leasing.await.unwrap().len();
    }
    assert_eq!(received, 100);
    assert_eq!(receives(&fake.calls()).iter().sum::<usize>(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_is_polled_less_and_less() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let begun = Instant::now();
    // As the pipeline does.
    while begun.elapsed() < LONG * 2 {
        let lease = Instant::now();
        assert!(engine.lease(1_000, Duration::from_millis(500)).await.unwrap().is_empty());
        assert!(lease.elapsed() >= Duration::from_millis(500));
    }
    let calls = fake.timed_calls();
    let gaps: Vec<_> = calls.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0)).collect();
    assert!(gaps[0] < Duration::from_millis(500), "{gaps:?}");
    assert!(gaps[8..].iter().all(|gap| *gap >= Duration::from_secs(5)), "{gaps:?}");
    assert!((20..30).contains(&calls.len()), "{}", calls.len());
    fake.put(1);
    let leased = engine.lease(1_000, LONG).await.unwrap();
    assert_eq!(leased.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_lasts_as_long_as_its_lease_and_returns_new_messages() {
    let idle = IdlePolicy::LongPoll(Duration::from_secs(20));
    let fake = FakePullService::new(PullSettings { idle, receive_batch: 10, ..FAKE_SETTINGS });
    let engine = fake.engine();
    let waiting = spawn_lease(&engine, 5);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(receives(&fake.calls()), [5]);
    fake.put(3);
    let begun = Instant::now();
    assert_eq!(waiting.await.unwrap().len(), 3);
    assert!(begun.elapsed() <= ROUND_TRIP);
    let begun = Instant::now();
    assert!(engine.lease(5, Duration::from_secs(2)).await.unwrap().is_empty());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

const LONG_POLL: PullSettings = PullSettings {
    idle: IdlePolicy::LongPoll(Duration::from_secs(20)),
    receive_batch: 10,
    lease: Duration::from_secs(6),
    ..FAKE_SETTINGS
};

/// Returns an engine that leased from an empty queue for this time, as the pipeline does.
async fn idle(fake: &FakePullService, time: Duration) -> PullEngine<FakePullService> {
    let engine = fake.engine();
    let begun = Instant::now();
    while begun.elapsed() < time {
        assert!(engine.lease(1_000, Duration::from_millis(500)).await.unwrap().is_empty());
    }
    engine
}

#[tokio::test(start_paused = true)]
async fn an_idle_service_is_long_polled_six_times_a_minute() {
    let fake = FakePullService::new(LONG_POLL);
    let engine = idle(&fake, LONG * 60).await;
    let calls = fake.calls().len();
    assert!((340..=370).contains(&calls), "{calls} calls in an hour");
    fake.put(1);
    let begun = Instant::now();
    assert_eq!(engine.lease(1_000, Duration::from_millis(500)).await.unwrap().len(), 1);
    assert!(begun.elapsed() <= ROUND_TRIP, "{:?}", begun.elapsed());
    fake.calls();
    for _ in 0..10 {
        engine.lease(1_000, Duration::from_millis(500)).await.unwrap();
    }
    assert!(fake.calls().len() >= 4, "calls wait longer only while the queue is empty");
}

#[tokio::test(start_paused = true)]
async fn messages_received_between_leases_go_to_the_next() {
    let fake = FakePullService::new(LONG_POLL);
    let engine = idle(&fake, LONG).await;
    fake.put(1);
    sleep(ROUND_TRIP).await;
    assert_eq!(fake.visible(), 0);
    assert_eq!(engine.lease(10, Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_a_long_poll() {
    let fake = FakePullService::new(LONG_POLL);
    let engine = idle(&fake, LONG).await;
    let begun = Instant::now();
    engine.close().await;
    assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_long_polled_message_begins_on_receipt() {
    let fake = FakePullService::new(LONG_POLL);
    let engine = fake.engine();
    let waiting = spawn_lease(&engine, 1);
    sleep(Duration::from_secs(15)).await;
    fake.put(1);
    let leased = waiting.await.unwrap();
    fake.fail_with([down(), down()]);
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_wait_gets_available_messages() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(3);
    assert_eq!(engine.lease(5, Duration::ZERO).await.unwrap().len(), 3);
    assert!(engine.lease(5, Duration::ZERO).await.unwrap().is_empty());
}

/// Leases and acks all messages through a window, as the pipeline does; returns the rate.
async fn drain(fake: &FakePullService, window: usize, messages: usize) -> f64 {
    let engine = fake.engine();
    let begun = Instant::now();
    let (permits, mut left) = (std::sync::Arc::new(tokio::sync::Semaphore::new(window)), messages);
    while left > 0 {
        permits.acquire().await.unwrap().forget();
        permits.add_permits(1);
        let leased = engine.lease(permits.available_permits(), Duration::from_millis(500)).await.unwrap();
        left -= leased.len();
        for some in leased.chunks(64) {
            permits.forget_permits(some.len());
            let (engine, keys, permits) = (engine.clone(), keys(some), permits.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(20)).await;
                let count = keys.len();
                engine.ack(keys).await.unwrap();
                permits.add_permits(count);
            });
        }
    }
    eventually(LONG, || fake.remaining() == 0).await;
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "a few thousand")]
    let messages = messages as f64;
    messages / begun.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_drained_by_several_full_calls_at_a_time() {
    let fake = FakePullService::new(PullSettings { ack_batch: 200, ..FAKE_SETTINGS });
    fake.put(50_000);
    let rate = drain(&fake, 4_096, 50_000).await;
    let calls = fake.calls().len();
    assert!(rate > 5_000.0, "{rate}/s");
    assert!(calls * 50 <= 50_000, "{calls} calls");
    assert!(fake.most_in_flight() <= 16 + 8, "{} at a time", fake.most_in_flight());
}

#[tokio::test(start_paused = true)]
async fn calls_are_full_even_if_the_window_is_the_limit() {
    let fake = FakePullService::new(PullSettings { ack_batch: 200, ..FAKE_SETTINGS });
    fake.put(20_000);
    drain(&fake, 300, 20_000).await;
    let asked = receives(&fake.calls());
    let mean = asked.iter().sum::<usize>() / asked.len();
    assert!(mean >= 80, "{mean} in a call");
}

#[tokio::test(start_paused = true)]
async fn a_demand_below_a_batch_lingers_and_returns_once_it_can_grow() {
    let linger = ROUND_TRIP * 2;
    let fake = FakePullService::new(PullSettings { linger, ..FAKE_SETTINGS });
    let engine = fake.engine();
    fake.put(1_000);
    let leased = lease(&engine, 300).await;
    fake.calls();
    let begun = Instant::now();
    assert_eq!(engine.lease(30, LONG).await.unwrap().len(), 30, "no more capacity was freed");
    assert_eq!(begun.elapsed(), linger + ROUND_TRIP);
    assert_eq!(fake.calls(), [FakeCall::Receive(30)]);

    let leasing = spawn_lease(&engine, 30);
    tokio::task::yield_now().await;
    engine.ack(keys(&leased[..100])).await.unwrap();
    assert_eq!(leasing.await.unwrap().len(), 0, "the caller can ask for more");
    assert!(receives(&fake.calls()).is_empty());
    assert_eq!(engine.lease(130, LONG).await.unwrap().len(), 100);
    // A lease that still asks for no more does not linger again.
    let leasing = spawn_lease(&engine, 30);
    tokio::task::yield_now().await;
    engine.ack(keys(&leased[100..200])).await.unwrap();
    assert_eq!(leasing.await.unwrap().len(), 0);
    let begun = Instant::now();
    assert_eq!(engine.lease(30, LONG).await.unwrap().len(), 30);
    assert_eq!(begun.elapsed(), ROUND_TRIP);
}

#[tokio::test(start_paused = true)]
async fn a_window_smaller_than_a_batch_does_not_wait_for_a_batch() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(100);
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(engine.lease(10, LONG).await.unwrap().len(), 10);
    }
    assert_eq!(begun.elapsed(), ROUND_TRIP * 10);
    let fake = FakePullService::new(FAKE_SETTINGS);
    fake.put(100);
    drain(&fake, 10, 100).await;
}
