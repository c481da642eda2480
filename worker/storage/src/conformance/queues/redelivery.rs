//! Messages are redelivered when their worker fails, and only then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::QueueFixture;
use super::fixture::{
    PATIENCE, QueueOptions, RELEASE_DEADLINE, ack, bodies, deliveries, dying_worker, keys, lease,
    nothing_comes, past_short_lease, release, short_lease, sorted,
};

pub(super) async fn a_message_is_redelivered_when_its_lease_ends<F: QueueFixture>() {
    let fixture = F::start(short_lease::<F>()).await;
    let mut owners = vec![fixture.worker().await];
    fixture.enqueue("a").await.unwrap();
    let leased = lease(&owners[0], 1).await;
    for delivery in 2..5 {
        let next = fixture.worker().await;
        let began = Instant::now();
        let again = lease(&next, 1).await;
        assert!(
            began.elapsed() >= Duration::from_millis(300),
            "redelivered too early: {:?}",
            began.elapsed()
        );
        assert_eq!(keys(&again), keys(&leased));
        assert_eq!(deliveries(&again), [delivery]);
        owners.push(next);
    }
}

pub(super) async fn a_message_is_redelivered_when_its_worker_dies<F: QueueFixture>() {
    let fixture = F::start(dying_worker::<F>()).await;
    let owner = fixture.worker().await;
    let (count, done) = (600 / F::FEWER, 100 / F::FEWER);
    fixture.enqueue_numbers(count).await;
    let leased = lease(&owner, count).await;
    ack(&owner, &leased[..done]).await;
    let next = fixture.kill(owner).await;
    if !F::DEATH_IS_NOTICED {
        nothing_comes(&next, Duration::from_secs(1)).await;
    }
    // Within `PATIENCE`, which is shorter than the lease if the engine detects the death of a worker.
    let again = lease(&next, count - done).await;
    assert_eq!(sorted(keys(&again)), sorted(keys(&leased[done..])));
    assert_eq!(deliveries(&again), vec![2; count - done]);
    ack(&next, &again).await;
    assert_eq!(next.depth().await.unwrap().waiting, 0);
}

pub(super) async fn messages_of_a_dead_worker_are_redelivered_once<F: QueueFixture>() {
    let fixture = F::start(dying_worker::<F>()).await;
    let owner = fixture.worker().await;
    let count = 1_000 / F::FEWER;
    fixture.enqueue_numbers(count).await;
    lease(&owner, count).await;
    let mut survivors = vec![fixture.kill(owner).await];
    for _ in 0..3 {
        survivors.push(fixture.worker().await);
    }
    let (sender, mut redelivered) = tokio::sync::mpsc::unbounded_channel();
    for survivor in survivors {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(leased) = survivor.lease(20, PATIENCE).await {
                let _ = sender.send(keys(&leased));
            }
        });
    }
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(
            tokio::time::timeout(PATIENCE, redelivered.recv())
                .await
                .expect("every message is redelivered")
                .unwrap(),
        );
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "each message was redelivered to one worker");
}

pub(super) async fn a_paused_worker_that_resumes_affects_no_other<F: QueueFixture>() {
    let fixture = F::start(short_lease::<F>()).await;
    let (paused, other) = (fixture.worker().await, fixture.worker().await);
    fixture.enqueue("a").await.unwrap();
    let leased = lease(&paused, 1).await;
    let again = lease(&other, 1).await;
    ack(&other, &again).await;
    ack(&paused, &leased).await;
    release(&paused, &leased).await;
    nothing_comes(&other, past_short_lease::<F>()).await;
    fixture.enqueue("b").await.unwrap();
    assert_eq!(bodies(&lease(&paused, 1).await), ["b"]);
}

pub(super) async fn a_late_ack_of_a_paused_worker_counts<F: QueueFixture>() {
    let fixture = F::start(short_lease::<F>()).await;
    let (paused, other) = (fixture.worker().await, fixture.worker().await);
    fixture.enqueue("a").await.unwrap();
    let leased = lease(&paused, 1).await;
    let again = lease(&other, 1).await;
    ack(&paused, &leased).await;
    if F::LATE_ACK_COUNTS {
        nothing_comes(&paused, past_short_lease::<F>()).await;
    }
    ack(&other, &again).await;
    assert_eq!(other.depth().await.unwrap().waiting, 0);
}

pub(super) async fn released_messages_are_redelivered_at_once<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    // Establishes all connections.
    assert!(worker.lease(1, Duration::from_millis(300)).await.unwrap().is_empty());
    fixture.enqueue_all(["a", "b"]).await;
    let counted = |times: u32| if F::RELEASE_COUNTS { times } else { 1 };
    for round in 1..4 {
        let mut leased = worker.lease(2, F::PAUSE).await.unwrap();
        assert!(!leased.is_empty(), "without a wait");
        leased.extend(lease(&worker, 2 - leased.len()).await);
        assert_eq!(sorted(bodies(&leased)), ["a", "b"]);
        assert_eq!(deliveries(&leased), [counted(round); 2]);
        release(&worker, &leased).await;
        release(&worker, &leased).await;
    }
    let began = Instant::now();
    let other = fixture.worker().await;
    assert_eq!(deliveries(&lease(&other, 2).await), [counted(4); 2]);
    assert!(began.elapsed() < RELEASE_DEADLINE, "{:?}", began.elapsed());
}

pub(super) async fn many_messages_are_released_by_one_call<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    let (count, done) = (1_300 / F::FEWER, 100 / F::FEWER);
    fixture.enqueue_numbers(count).await;
    let leased = lease(&worker, count).await;
    ack(&worker, &leased[..done]).await;
    release(&worker, &leased[done..]).await;
    let again = lease(&fixture.worker().await, count - done).await;
    assert_eq!(sorted(keys(&again)), sorted(keys(&leased[done..])));
    assert_eq!(deliveries(&again), vec![if F::RELEASE_COUNTS { 2 } else { 1 }; count - done]);
}

pub(super) async fn a_dropped_lease_loses_nothing<F: QueueFixture>() {
    let fixture = F::start(short_lease::<F>()).await;
    let worker = fixture.worker().await;
    for round in 0..20 {
        let leasing = {
            let worker = Arc::clone(&worker);
            tokio::spawn(async move { worker.lease(10, Duration::from_secs(5)).await })
        };
        fixture.enqueue(&round.to_string()).await.unwrap();
        leasing.abort();
        // Either the delivery or the end of the lease was first.
        if let Ok(leased) = leasing.await {
            release(&worker, &leased.unwrap()).await;
        }
    }
    // A message that was leased before may be redelivered when its lease ends.
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.extend(bodies(&lease(&worker, 1).await));
    }
    assert_eq!(seen, (0..20).map(|round| round.to_string()).collect());
}
