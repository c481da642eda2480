//! Batches of acks, releases and enqueues.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{LONG, keys, lease};
use crate::engine::fake_service::{FAKE_SETTINGS, FakeCall, FakePullService, ROUND_TRIP, down};
use crate::engine::{PullSettings, ReceiptFailure};
use chargegate_storage::QueueError;
use chargegate_storage::queue::{EnqueueFailure, MessageKey, Queue as _};
use chargegate_storage::testing::eventually;

#[tokio::test(start_paused = true)]
async fn acks_are_sent_in_full_calls() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(450);
    let leased = lease(&engine, 450).await;
    fake.calls();
    let ending: Vec<_> = leased
        .chunks(45)
        .map(|some| {
            let (engine, keys) = (engine.clone(), keys(some));
            tokio::spawn(async move { engine.ack(keys).await.unwrap() })
        })
        .collect();
    for ending in ending {
        ending.await.unwrap();
    }
    assert_eq!(fake.remaining(), 0);
    let full = FakeCall::Ack { acked: 100, released: 0 };
    let rest = FakeCall::Ack { acked: 50, released: 0 };
    let mut calls = fake.calls();
    calls.sort_by_key(|call| *call == rest);
    assert_eq!(calls, [full.clone(), full.clone(), full.clone(), full, rest]);
}

#[tokio::test(start_paused = true)]
async fn a_single_ack_is_sent_at_once() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    let begun = Instant::now();
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!((begun.elapsed(), fake.remaining()), (ROUND_TRIP, 0));
    // A repeated or unknown key causes neither an error nor a call.
    fake.calls();
    engine.ack(keys(&leased)).await.unwrap();
    engine.release(vec![MessageKey::from("foreign".to_owned())]).await.unwrap();
    assert_eq!(fake.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn released_messages_are_delivered_again() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(3);
    let leased = lease(&engine, 3).await;
    engine.release(keys(&leased)).await.unwrap();
    assert_eq!(fake.visible(), 3);
    let again = lease(&engine, 3).await;
    assert!(again.iter().all(|message| message.deliveries == 2));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_failed_in_a_call_is_retried() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(10);
    let leased = lease(&engine, 10).await;
    fake.fail_receipts([ReceiptFailure::Transient, ReceiptFailure::Transient]);
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_ack_after_the_lease_succeeds_and_its_message_is_redelivered() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    fake.fail_receipts([ReceiptFailure::LeaseEnded]);
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 1);
    let again = lease(&engine, 1).await;
    assert_eq!(keys(&again), keys(&leased));
    engine.ack(keys(&again)).await.unwrap();
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn acks_are_retried_in_an_outage_until_their_leases_end() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(2);
    let leased = lease(&engine, 2).await;
    fake.fail_with((0..8).map(|_| down()));
    engine.ack(keys(&leased)[..1].to_vec()).await.unwrap();
    assert_eq!(fake.remaining(), 1);

    fake.fail_with((0..1_000).map(|_| down()));
    let begun = Instant::now();
    let failed = engine.ack(keys(&leased)[1..].to_vec()).await;
    assert!(matches!(failed, Err(QueueError::Unavailable(_))));
    assert!(begun.elapsed() <= FAKE_SETTINGS.lease, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_received_while_acks_fail() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(2);
    let leased = lease(&engine, 1).await;
    fake.calls();
    fake.fail_with((0..6).map(|_| down()));
    let (acknowledged, ()) = tokio::join!(engine.ack(keys(&leased)), async {
        sleep(ROUND_TRIP).await;
        lease(&engine, 1).await;
    });
    acknowledged.unwrap();
    let calls = fake.calls();
    assert_eq!(calls[..7], [const { FakeCall::Ack { acked: 1, released: 0 } }; 7], "{calls:?}");
    assert_eq!(calls[7], FakeCall::Receive(1));
}

#[tokio::test(start_paused = true)]
async fn an_ack_whose_answer_is_lost_is_repeated() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    fake.lose_responses(1);
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn leases_of_messages_in_flight_are_extended_up_to_a_limit() {
    let lease_time = Duration::from_secs(6);
    let fake = FakePullService::new(PullSettings {
        lease: lease_time,
        extend_for: LONG,
        ack_batch: 10,
        ..FAKE_SETTINGS
    });
    let engine = fake.engine();
    fake.put(25);
    let leased = lease(&engine, 25).await;
    fake.calls();
    for _ in 0..10 {
        // A failed extension is retried in time.
        fake.fail_with([down()]);
        for _ in 0..5 {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(fake.visible(), 0);
        }
    }
    let calls = fake.calls();
    assert!(calls.iter().all(|call| matches!(call, FakeCall::Extend(1..=10))), "{calls:?}");
    assert!(calls.len() < 150, "{}", calls.len());
    engine.ack(keys(&leased)[..5].to_vec()).await.unwrap();
    // But not forever.
    sleep(LONG).await;
    assert_eq!(fake.visible(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_failed_extension_is_retried_in_time() {
    let lease_time = Duration::from_secs(6);
    let fake = FakePullService::new(PullSettings {
        lease: lease_time,
        extend_for: LONG,
        ack_batch: 10,
        ..FAKE_SETTINGS
    });
    let engine = fake.engine();
    fake.put(1);
    lease(&engine, 1).await;
    fake.calls();
    for _ in 0..20 {
        // If the lease counted as extended, the next call would be too late.
        fake.fail_receipts([ReceiptFailure::Transient]);
        for _ in 0..20 {
            sleep(Duration::from_millis(100)).await;
            assert_eq!(fake.visible(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ended_lease_is_not_extended_until_its_message_is_redelivered() {
    let lease_time = Duration::from_secs(6);
    let fake = FakePullService::new(PullSettings {
        lease: lease_time,
        extend_for: LONG,
        ack_batch: 10,
        ..FAKE_SETTINGS
    });
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    fake.calls();
    fake.fail_receipts([ReceiptFailure::LeaseEnded]);
    sleep(lease_time + ROUND_TRIP).await;
    assert_eq!((fake.calls(), fake.visible()), (vec![FakeCall::Extend(1)], 1));
    let leasing = super::spawn_lease(&engine, 1);
    eventually(LONG, || fake.visible() == 0).await;
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.visible(), 0, "the lease is extended again");
    }
    leasing.abort();
    engine.ack(keys(&leased)).await.unwrap();
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_messages_are_enqueued_by_one_call_with_a_result_each() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let bodies = ["a", "b", "refused", "c"];
    let sending = bodies.map(|body| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.enqueue(body.to_owned()).await })
    });
    let mut results = Vec::new();
    for sending in sending {
        results.push(sending.await.unwrap().is_ok());
    }
    assert_eq!(results, [true, true, false, true]);
    assert_eq!(fake.bodies(), ["a", "b", "c"]);
    assert_eq!(fake.calls(), [FakeCall::Send(4)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_enqueues_at_most_the_allowed_bytes() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let sending: Vec<_> = (0..5)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.enqueue("x".repeat(400)).await.unwrap() })
        })
        .collect();
    for sending in sending {
        sending.await.unwrap();
    }
    assert_eq!(fake.calls(), [FakeCall::Send(2), FakeCall::Send(2), FakeCall::Send(1)]);
    let large = engine.enqueue("x".repeat(16 * 1024 + 1)).await;
    assert!(matches!(large, Err(EnqueueFailure::TooLarge)));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_send_enqueues_nothing() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    let sending = engine.enqueue("never".to_owned());
    assert!(tokio::time::timeout(Duration::ZERO, sending).await.is_err());
    sleep(LONG).await;
    assert_eq!(fake.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_completes_pending_acks_and_releases_the_rest() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(160);
    let leased = lease(&engine, 150).await;
    let (ending, keys) = (engine.clone(), keys(&leased));
    let acknowledging = tokio::spawn(async move { ending.ack(keys).await });
    // A receive call is in flight whose messages no lease will get.
    let leasing = super::spawn_lease(&engine, 10);
    eventually(LONG, || fake.calls().contains(&FakeCall::Receive(10))).await;
    leasing.abort();
    engine.close().await;
    acknowledging.await.unwrap().unwrap();
    assert_eq!((fake.remaining(), fake.visible()), (10, 10));
    engine.ended().await;
    assert!(matches!(engine.lease(1, LONG).await, Err(QueueError::Closed)));
    assert!(matches!(engine.ack(Vec::new()).await, Err(QueueError::Closed)));
    assert!(matches!(engine.enqueue("x".to_owned()).await, Err(EnqueueFailure::Closed)));
    engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn closing_is_bounded_when_the_service_hangs() {
    let fake = FakePullService::new(FAKE_SETTINGS);
    let engine = fake.engine();
    fake.put(1);
    let leased = lease(&engine, 1).await;
    fake.fail_with((0..1_000).map(|_| down()));
    let ending = engine.clone();
    let acknowledging = tokio::spawn(async move { ending.ack(keys(&leased)).await });
    sleep(ROUND_TRIP).await;
    let begun = Instant::now();
    engine.close().await;
    assert!(begun.elapsed() <= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(acknowledging.await.unwrap().is_err());
}
