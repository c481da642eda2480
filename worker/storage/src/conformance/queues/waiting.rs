//! Waits of leases: as long as allowed, and no longer than necessary.

use std::sync::Arc;
use std::time::Duration;

use crate::queue::LeasedMessage;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::QueueFixture;
use super::fixture::{PATIENCE, QueueHandle, QueueOptions, RELEASE_DEADLINE, bodies, lease, release};

/// Time that a loaded machine may add to a wait: enough for one ten times slower, and half of the wait after which a
/// lease that was not woken would return.
const SLACK: Duration = Duration::from_secs(20);

fn waiting(worker: &QueueHandle) -> JoinHandle<Vec<LeasedMessage>> {
    let worker = Arc::clone(worker);
    tokio::spawn(async move { worker.lease(5, PATIENCE).await.unwrap() })
}

pub(super) async fn a_lease_of_an_empty_queue_returns_after_its_wait<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    for wait in [0, 1, 150, 1_600].map(Duration::from_millis) {
        let began = Instant::now();
        assert!(worker.lease(5, wait).await.unwrap().is_empty());
        let took = began.elapsed();
        assert!(took >= wait && took < wait + SLACK, "{took:?} for {wait:?}");
    }
}

pub(super) async fn an_available_message_is_delivered_without_a_wait<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    // Establishes all connections.
    assert!(worker.lease(1, Duration::from_millis(300)).await.unwrap().is_empty());
    for body in ["a", "b", "c", "d"] {
        fixture.enqueue(body).await.unwrap();
        assert_eq!(bodies(&worker.lease(1, F::PAUSE).await.unwrap()), [body]);
    }
}

pub(super) async fn a_waiting_lease_gets_an_arriving_message<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    for body in ["a", "b", "c", "d"] {
        let waiting = waiting(&worker);
        assert!(worker.lease(1, Duration::from_millis(50)).await.unwrap().is_empty());
        let began = Instant::now();
        fixture.enqueue(body).await.unwrap();
        assert_eq!(bodies(&waiting.await.unwrap()), [body]);
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    }
}

pub(super) async fn a_waiting_lease_gets_a_released_message<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let (worker, other) = (fixture.worker().await, fixture.worker().await);
    fixture.enqueue("a").await.unwrap();
    let leased = lease(&worker, 1).await;
    let waiting = waiting(&other);
    let began = Instant::now();
    release(&worker, &leased).await;
    assert_eq!(bodies(&waiting.await.unwrap()), ["a"]);
    assert!(began.elapsed() < RELEASE_DEADLINE, "{:?}", began.elapsed());
}
