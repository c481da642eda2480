//! Delivery and acknowledgement.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::queue::MessageKey;

use super::QueueFixture;
use super::fixture::{
    NO_WAIT, QueueOptions, ack, bodies, deliveries, keys, lease, nothing_comes, past_short_lease,
    short_lease, sorted,
};

pub(super) async fn messages_are_delivered_oldest_first_and_once<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    fixture.enqueue_all(["a", "b", "c", "d", "e"]).await;
    let mut all = lease(&worker, 2).await;
    all.extend(lease(&worker, 3).await);
    let received = bodies(&all);
    assert_eq!(if F::ORDERED { received } else { sorted(received) }, ["a", "b", "c", "d", "e"]);
    assert_eq!(deliveries(&all), [1; 5]);
    nothing_comes(&worker, NO_WAIT).await;
    nothing_comes(&fixture.worker().await, Duration::from_millis(300)).await;
}

pub(super) async fn any_text_is_delivered_unchanged<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    for body in ["", "\0 and \u{1f50c} and \r\n", &"x".repeat(16 * 1024)] {
        let accepted = fixture.enqueue(body).await.is_ok();
        assert_eq!(accepted, F::accepts(body), "{body:?}");
        if accepted {
            assert_eq!(bodies(&lease(&worker, 1).await), [body]);
        }
    }
    nothing_comes(&worker, NO_WAIT).await;
}

pub(super) async fn concurrent_leases_share_no_message<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let workers = [fixture.worker().await, fixture.worker().await];
    let leasing: Vec<_> = (0..6)
        .map(|n| {
            let worker = Arc::clone(&workers[n % 2]);
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    let leased = worker.lease(7, Duration::from_millis(700)).await.unwrap();
                    if leased.is_empty() {
                        return all;
                    }
                    all.extend(keys(&leased));
                }
            })
        })
        .collect();
    let count = 500 / F::FEWER;
    fixture.enqueue_numbers(count).await;
    let mut all: Vec<MessageKey> = Vec::new();
    for leasing in leasing {
        all.extend(leasing.await.unwrap());
    }
    assert_eq!(all.len(), count);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), count);
}

pub(super) async fn an_acknowledged_message_is_never_redelivered<F: QueueFixture>() {
    let fixture = F::start(short_lease::<F>()).await;
    let worker = fixture.worker().await;
    fixture.enqueue_all(["a", "b"]).await;
    ack(&worker, &lease(&worker, 2).await).await;
    nothing_comes(&worker, past_short_lease::<F>()).await;
    nothing_comes(&fixture.kill(worker).await, past_short_lease::<F>()).await;
}

pub(super) async fn acknowledging_unknown_keys_is_harmless<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    fixture.enqueue_all(["a", "b"]).await;
    let leased = lease(&worker, 1).await;
    let foreign = ["", "another engine's", "q:{0}/1-1", "-1"].map(|key| MessageKey::from(key.to_owned()));
    for _ in 0..2 {
        let mut keys = keys(&leased);
        keys.extend(keys.clone());
        keys.extend(foreign.clone());
        worker.ack(keys).await.unwrap();
    }
    worker.ack(Vec::new()).await.unwrap();
    worker.release(keys(&leased)).await.unwrap();
    worker.release(foreign.to_vec()).await.unwrap();
    assert_eq!(lease(&worker, 1).await.len(), 1, "the other message is unchanged");
    nothing_comes(&worker, NO_WAIT).await;
}

pub(super) async fn many_messages_are_acknowledged_by_one_call<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    let count = 1_300 / F::FEWER;
    fixture.enqueue_numbers(count).await;
    ack(&worker, &lease(&worker, count).await).await;
    assert_eq!(worker.depth().await.unwrap().waiting, 0);
}

pub(super) async fn an_undecodable_message_affects_no_other<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    fixture.enqueue("before").await.unwrap();
    fixture.enqueue_no_message().await;
    fixture.enqueue("after").await.unwrap();
    let leased = lease(&worker, 3).await;
    let received: HashSet<_> = leased.iter().map(|message| message.body.clone()).collect();
    let expected: [&[u8]; 3] = [b"before", F::NO_MESSAGE, b"after"];
    assert_eq!(received, expected.map(<[u8]>::to_vec).into());
    ack(&worker, &leased).await;
}

pub(super) async fn enqueue_times_come_from_the_server<F: QueueFixture>() {
    let fixture = F::start(QueueOptions::default()).await;
    let worker = fixture.worker().await;
    let before = fixture.server_time().await;
    fixture.enqueue("a").await.unwrap();
    let after = fixture.server_time().await;
    let enqueued_at = lease(&worker, 1).await[0].enqueued_at.map(|at| at.0);
    assert!(before <= enqueued_at && enqueued_at <= after, "{before:?} {enqueued_at:?} {after:?}");
}
