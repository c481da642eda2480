//! Limits of leases, of the depth and of messages.

use std::sync::Arc;

use crate::QueueError;
use crate::queue::{EnqueueFailure, QueueDepth};

use super::QueueFixture;
use super::fixture::{NO_WAIT, PATIENCE, QueueOptions, ack, lease};

pub(super) async fn a_lease_returns_no_more_than_requested<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let (worker, other) = (fixture.worker().await, fixture.worker().await);
    fixture.enqueue_numbers(30).await;
    assert!(worker.lease(0, NO_WAIT).await.unwrap().is_empty());
    let mut leased = 0;
    for max in [1, 2, 5] {
        let count = worker.lease(max, PATIENCE).await.unwrap().len();
        assert!((1..=max).contains(&count), "{count} of {max}");
        leased += count;
    }
    // All other messages remain available to another worker.
    assert_eq!(lease(&other, 30 - leased).await.len(), 30 - leased);
}

pub(super) async fn the_depth_limit_is_exact_among_concurrent_callers<F: QueueFixture>() {
    let fixture = Arc::new(F::start(QueueOptions { depth_limit: 100, ..QueueOptions::default() }).await);
    let callers: Vec<_> = (0..150)
        .map(|n| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.enqueue(&n.to_string()).await })
        })
        .collect();
    let mut accepted = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(()) => accepted += 1,
            Err(EnqueueFailure::DepthLimit) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(accepted, if F::DEPTH_LIMIT { 100 } else { 150 });
}

pub(super) async fn the_depth_counts_unacknowledged_messages<F: QueueFixture>() {
    let fixture = F::start(QueueOptions { depth_limit: 4, ..QueueOptions::default() }).await;
    let worker = fixture.worker().await;
    let limit = if F::DEPTH_LIMIT { 4 } else { u64::MAX };
    assert_eq!(worker.depth().await.unwrap(), QueueDepth { waiting: 0, limit });
    fixture.enqueue_numbers(4).await;
    let leased = lease(&worker, 3).await;
    assert_eq!(worker.depth().await.unwrap(), QueueDepth { waiting: 4, limit });
    if F::DEPTH_LIMIT {
        assert!(matches!(fixture.enqueue("more").await, Err(EnqueueFailure::DepthLimit)));
    }
    ack(&worker, &leased[..2]).await;
    assert_eq!(worker.depth().await.unwrap(), QueueDepth { waiting: 2, limit });
    fixture.enqueue_all(["one", "two"]).await;
    let three = fixture.enqueue("three").await;
    assert_eq!(matches!(three, Err(EnqueueFailure::DepthLimit)), F::DEPTH_LIMIT);
}

pub(super) async fn a_message_that_is_too_large_is_refused<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    fixture.enqueue(&"x".repeat(16 * 1024)).await.unwrap();
    assert!(matches!(fixture.enqueue(&"x".repeat(16 * 1024 + 1)).await, Err(EnqueueFailure::TooLarge)));
    assert_eq!(fixture.worker().await.depth().await.unwrap().waiting, 1);
}

pub(super) async fn a_closed_engine_returns_closed_errors<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    let waiting = {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.lease(1, PATIENCE).await })
    };
    for _ in 0..2 {
        fixture.close(&worker).await;
        assert!(matches!(worker.lease(1, NO_WAIT).await, Err(QueueError::Closed)));
    }
    assert!(matches!(waiting.await.unwrap(), Err(QueueError::Closed)));
    assert!(matches!(worker.ack(Vec::new()).await, Err(QueueError::Closed)));
}
