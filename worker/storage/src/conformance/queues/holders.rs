//! Messages come again when their holder fails, and only then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::QueueFixture;
use super::fixture::{
    PATIENCE, QueueOptions, RELEASE_DEADLINE, ack, bodies, deadly, deliveries, keys, lease, nothing_comes,
    past, release, short, sorted,
};

pub(super) async fn a_message_comes_again_when_its_lease_ends<F: QueueFixture>() {
    let fixture = F::start(short::<F>()).await;
    let mut holders = vec![fixture.worker().await];
    fixture.enqueue("a").await.unwrap();
    let held = lease(&holders[0], 1).await;
    for delivery in 2..5 {
        let next = fixture.worker().await;
        let began = Instant::now();
        let again = lease(&next, 1).await;
        assert!(began.elapsed() >= Duration::from_millis(300), "not before: {:?}", began.elapsed());
        assert_eq!(keys(&again), keys(&held));
        assert_eq!(deliveries(&again), [delivery]);
        holders.push(next);
    }
}

pub(super) async fn a_message_comes_again_when_its_holder_dies<F: QueueFixture>() {
    let fixture = F::start(deadly::<F>()).await;
    let holder = fixture.worker().await;
    let (count, done) = (600 / F::FEWER, 100 / F::FEWER);
    fixture.enqueue_numbers(count).await;
    let held = lease(&holder, count).await;
    ack(&holder, &held[..done]).await;
    let next = fixture.kill(holder).await;
    if !F::DEATH_IS_NOTICED {
        nothing_comes(&next, Duration::from_secs(1)).await;
    }
    // Within `PATIENCE`, which is shorter than the lease where a death is noticed without its end.
    let again = lease(&next, count - done).await;
    assert_eq!(sorted(keys(&again)), sorted(keys(&held[done..])));
    assert_eq!(deliveries(&again), vec![2; count - done]);
    ack(&next, &again).await;
    assert_eq!(next.depth().await.unwrap().waiting, 0);
}

pub(super) async fn what_a_dead_holder_left_is_shared_out_once<F: QueueFixture>() {
    let fixture = F::start(deadly::<F>()).await;
    let holder = fixture.worker().await;
    let count = 1_000 / F::FEWER;
    fixture.enqueue_numbers(count).await;
    lease(&holder, count).await;
    let mut heirs = vec![fixture.kill(holder).await];
    for _ in 0..3 {
        heirs.push(fixture.worker().await);
    }
    let (sender, mut come) = tokio::sync::mpsc::unbounded_channel();
    for heir in heirs {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(leased) = heir.lease(20, PATIENCE).await {
                let _ = sender.send(keys(&leased));
            }
        });
    }
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(tokio::time::timeout(PATIENCE, come.recv()).await.expect("all come").unwrap());
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "each to one of them");
}

pub(super) async fn a_holder_that_paused_and_wakes_up_harms_nobody<F: QueueFixture>() {
    let fixture = F::start(short::<F>()).await;
    let (paused, other) = (fixture.worker().await, fixture.worker().await);
    fixture.enqueue("a").await.unwrap();
    let held = lease(&paused, 1).await;
    let again = lease(&other, 1).await;
    ack(&other, &again).await;
    ack(&paused, &held).await;
    release(&paused, &held).await;
    nothing_comes(&other, past::<F>()).await;
    fixture.enqueue("b").await.unwrap();
    assert_eq!(bodies(&lease(&paused, 1).await), ["b"]);
}

pub(super) async fn a_holder_that_wakes_up_and_acknowledges_is_believed<F: QueueFixture>() {
    let fixture = F::start(short::<F>()).await;
    let (paused, other) = (fixture.worker().await, fixture.worker().await);
    fixture.enqueue("a").await.unwrap();
    let held = lease(&paused, 1).await;
    let again = lease(&other, 1).await;
    ack(&paused, &held).await;
    if F::LATE_IS_BELIEVED {
        nothing_comes(&paused, past::<F>()).await;
    }
    ack(&other, &again).await;
    assert_eq!(other.depth().await.unwrap().waiting, 0);
}

pub(super) async fn released_messages_come_at_once<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    // All connections are established then.
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
    let held = lease(&worker, count).await;
    ack(&worker, &held[..done]).await;
    release(&worker, &held[done..]).await;
    let again = lease(&fixture.worker().await, count - done).await;
    assert_eq!(sorted(keys(&again)), sorted(keys(&held[done..])));
    assert_eq!(deliveries(&again), vec![if F::RELEASE_COUNTS { 2 } else { 1 }; count - done]);
}

pub(super) async fn a_dropped_lease_loses_nothing<F: QueueFixture>() {
    let fixture = F::start(short::<F>()).await;
    let worker = fixture.worker().await;
    for round in 0..20 {
        let leasing = {
            let worker = Arc::clone(&worker);
            tokio::spawn(async move { worker.lease(10, Duration::from_secs(5)).await })
        };
        fixture.enqueue(&round.to_string()).await.unwrap();
        leasing.abort();
        // Either the message or the end of the lease came first.
        if let Ok(leased) = leasing.await {
            release(&worker, &leased.unwrap()).await;
        }
    }
    // One that was had before may come once more when its lease ends.
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.extend(bodies(&lease(&worker, 1).await));
    }
    assert_eq!(seen, (0..20).map(|round| round.to_string()).collect());
}
