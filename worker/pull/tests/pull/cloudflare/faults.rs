//! Failures of the service: the engine recovers, and no accepted message is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_cloudflare_emulator::{
    CloudflareEmulator, EmulatorEndpoint, EmulatorFault, EmulatorMessage, GarbageBody, JsonBodyForm,
};
use chargegate_core::UnixMillis;
use chargegate_pull::cloudflare::{CloudflareEngine, CloudflareSettings};
use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::{Clock, Effects, QueueError, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{emulator, eventually, quick, view, worker};
use crate::queues::cloudflare::{QUEUE, TOKEN, open};
use chargegate_storage::conformance::queues::{NO_WAIT, PATIENCE, QueueHandle, ack, bodies, keys, lease};

const MESSAGES: usize = 400;

/// Enqueues and consumes messages during faults, and asserts that every confirmed message is delivered and the queue is
/// empty at the end.
async fn assert_nothing_is_lost(emulator: &CloudflareEmulator, faults: impl AsyncFnOnce()) {
    let settings = quick(emulator);
    let engine = open(&settings).await;
    let (stop, stopped) = watch::channel(false);
    let edge = produce(&engine, stopped.clone());
    let consumer = consume(&worker(&engine));
    faults().await;
    // Asserts that the queue works as before.
    eventually("a message is confirmed", async || engine.enqueue("in between".to_owned()).await.ok()).await;
    stop.send(true).unwrap();
    let confirmed = edge.await.unwrap();
    eventually("the queue is empty", async || (emulator.messages(QUEUE).is_empty()).then_some(())).await;
    let received = consumer.stop().await;
    let lost: Vec<_> = confirmed.difference(&received).collect();
    assert!(confirmed.len() > 20, "{} confirmed", confirmed.len());
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), confirmed.len());
    let outcomes = view(emulator).outcomes;
    assert_eq!((outcomes.deleted, outcomes.dead_lettered, outcomes.expired), (0, 0, 0));
    engine.close().await;
}

/// Enqueues until stopped; returns the confirmed messages.
fn produce(engine: &CloudflareEngine, stopped: watch::Receiver<bool>) -> JoinHandle<HashSet<String>> {
    let engine = engine.clone();
    tokio::spawn(async move {
        let mut confirmed = HashSet::new();
        for n in 0.. {
            if *stopped.borrow() {
                break;
            }
            let body = format!("message {n}");
            if engine.enqueue(body.clone()).await.is_ok() {
                confirmed.insert(body);
            }
            // The test needs failed calls, not many successful ones.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        confirmed
    })
}

/// Leases and acknowledges, ignoring errors.
struct ForgetfulConsumer {
    stop: watch::Sender<bool>,
    task: JoinHandle<HashSet<String>>,
}

fn consume(worker: &QueueHandle) -> ForgetfulConsumer {
    let (stop, stopped) = watch::channel(false);
    let worker = Arc::clone(worker);
    let task = tokio::spawn(async move {
        let mut received = HashSet::new();
        while !*stopped.borrow() {
            match worker.lease(50, Duration::from_millis(100)).await {
                Ok(leased) => {
                    let acknowledging = Arc::clone(&worker);
                    let done = keys(&leased);
                    tokio::spawn(async move { acknowledging.ack(done).await });
                    received.extend(bodies(&leased));
                }
                Err(QueueError::Closed) => panic!("the engine was not closed"),
                Err(_) => {}
            }
        }
        received
    });
    ForgetfulConsumer { stop, task }
}

impl ForgetfulConsumer {
    async fn stop(self) -> HashSet<String> {
        self.stop.send(true).unwrap();
        self.task.await.unwrap()
    }
}

/// Puts `count` messages into the queue directly.
fn put(emulator: &CloudflareEmulator, count: usize) {
    for n in 0..count {
        assert!(emulator.put(QUEUE, EmulatorMessage::text(n.to_string())));
    }
}

/// Waits until all faults of an endpoint were injected.
async fn wait_for_faults(emulator: &CloudflareEmulator, endpoint: EmulatorEndpoint) {
    eventually("the faults are injected", async || (emulator.faults_left(endpoint) == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_the_service_restarts() {
    let emulator = emulator().await;
    assert_nothing_is_lost(&emulator, async || {
        for _ in 0..3 {
            emulator.stop_listening().await;
            tokio::time::sleep(Duration::from_millis(700)).await;
            eventually("the port is free", async || emulator.listen_again().await.ok()).await;
            let pulls = emulator.calls(EmulatorEndpoint::Pull).calls;
            eventually("messages are pulled", async || {
                (emulator.calls(EmulatorEndpoint::Pull).calls > pulls).then_some(())
            })
            .await;
        }
    })
    .await;
}

/// Injects each fault into pulls, acks and sends, several times.
async fn inject_each(faults: &[EmulatorFault], times: u32) {
    let emulator = emulator().await;
    assert_nothing_is_lost(&emulator, async || {
        for fault in faults {
            for endpoint in [EmulatorEndpoint::Pull, EmulatorEndpoint::Ack, EmulatorEndpoint::Send] {
                emulator.inject(endpoint, *fault, times);
                wait_for_faults(&emulator, endpoint).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_calls_fail() {
    inject_each(&[EmulatorFault::Internal, EmulatorFault::Forbidden], 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_answers_are_lost() {
    inject_each(&[EmulatorFault::CutBefore, EmulatorFault::CutAfter, EmulatorFault::CutWithin], 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_answers_are_garbage() {
    let garbage = [GarbageBody::NotJson, GarbageBody::OtherShape, GarbageBody::Half, GarbageBody::Endless];
    inject_each(&garbage.map(EmulatorFault::Garbage), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_answers_are_slow() {
    inject_each(&[EmulatorFault::Slow(Duration::from_millis(800))], 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_to_duplicates_and_wrong_leases() {
    let emulator = emulator().await;
    assert_nothing_is_lost(&emulator, async || {
        for fault in [EmulatorFault::Duplicate, EmulatorFault::WrongLeases] {
            emulator.inject(EmulatorEndpoint::Pull, fault, 3);
            wait_for_faults(&emulator, EmulatorEndpoint::Pull).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_call_times_out() {
    let emulator = emulator().await;
    let engine = open(&quick(&emulator)).await;
    put(&emulator, 1);
    emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Hang, 1);
    let began = Instant::now();
    let mut leased = Vec::new();
    eventually("the message is delivered", async || {
        leased = worker(&engine).lease(1, Duration::from_secs(1)).await.unwrap_or_default();
        (!leased.is_empty()).then_some(())
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    ack(&worker(&engine), &leased).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_calls_are_made_until_the_requested_wait_ends() {
    let emulator = emulator().await;
    let engine = open(&quick(&emulator)).await;
    let worker = worker(&engine);
    put(&emulator, 2);
    let leased = lease(&worker, 1).await;
    emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Throttled(Some(Duration::from_secs(2))), 1);
    let failed = worker.lease(1, Duration::from_millis(500)).await;
    let began = Instant::now();
    assert!(matches!(failed, Err(QueueError::Unavailable(_))), "{failed:?}");
    let calls = || {
        [EmulatorEndpoint::Pull, EmulatorEndpoint::Ack, EmulatorEndpoint::Send, EmulatorEndpoint::Metrics]
            .map(|at| emulator.calls(at).calls)
    };
    let before = calls();
    assert!(matches!(engine.enqueue("x".to_owned()).await, Err(EnqueueFailure::Unavailable(_))));
    assert!(worker.depth().await.is_err());
    assert_eq!(calls(), before, "no call of any kind");
    ack(&worker, &leased).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(lease(&worker, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_reported() {
    let emulator = emulator().await;
    let engine = open(&quick(&emulator)).await;
    emulator.revoke(TOKEN);
    let failed =
        eventually("the lease fails", async || worker(&engine).lease(1, Duration::from_secs(1)).await.err())
            .await;
    let QueueError::Unavailable(cause) = failed else { panic!("{failed:?}") };
    assert!(cause.to_string().contains("does not accept the token"), "{cause}");
    assert!(!format!("{cause:?} {engine:?}").contains(TOKEN_IN_TEXT), "{cause:?}");
    assert!(worker(&engine).depth().await.is_err());
}

/// Prefix of the token in a header.
const TOKEN_IN_TEXT: &str = "Bearer";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_pulled_while_acks_are_refused() {
    let emulator = emulator().await;
    let settings = CloudflareSettings { message_lease: Duration::from_secs(20), ..quick(&emulator) };
    let worker = worker(&open(&settings).await);
    put(&emulator, MESSAGES);
    let leased = lease(&worker, 1).await;
    emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::Forbidden, 6);
    let acknowledging = {
        let (worker, leased) = (Arc::clone(&worker), keys(&leased));
        tokio::spawn(async move { worker.ack(leased).await })
    };
    eventually("the ack fails", async || (emulator.faults_left(EmulatorEndpoint::Ack) < 6).then_some(()))
        .await;
    // Messages that were already pulled are not returned.
    eventually("the failure is reported", async || worker.lease(1, NO_WAIT).await.err()).await;
    let pulls = emulator.calls(EmulatorEndpoint::Pull).calls;
    let waiting = {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.lease(100, PATIENCE * 3).await })
    };
    acknowledging.await.unwrap().unwrap();
    assert_eq!(emulator.calls(EmulatorEndpoint::Pull).calls, pulls);
    assert!(!waiting.await.unwrap().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_flight_after_its_lease_is_not_leased_twice_and_can_be_acked() {
    let emulator = emulator().await;
    let worker = worker(&open(&quick(&emulator)).await);
    put(&emulator, 1);
    let leased = lease(&worker, 1).await;
    emulator.advance_clock(Duration::from_mins(1));
    let pulled = emulator.calls(EmulatorEndpoint::Pull).messages;
    eventually("the message is pulled again", async || {
        let again = worker.lease(1, Duration::from_millis(300)).await.unwrap();
        assert!(again.is_empty(), "{again:?}");
        (emulator.calls(EmulatorEndpoint::Pull).messages > pulled).then_some(())
    })
    .await;
    ack(&worker, &leased).await;
    assert_eq!(emulator.messages(QUEUE), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_a_body_is_delivered_unchanged() {
    let emulator = emulator().await;
    let worker = worker(&open(&quick(&emulator)).await);
    for form in [JsonBodyForm::Base64, JsonBodyForm::Text, JsonBodyForm::Value] {
        emulator.set_json_bodies(form);
        let json = r#"{"v":1}"#;
        let kind = chargegate_cloudflare_emulator::MessageContentType::Json;
        assert!(emulator.put(QUEUE, EmulatorMessage::new(kind, json).unwrap()));
        let leased = lease(&worker, 1).await;
        assert_eq!(bodies(&leased), [json], "{form:?}");
        ack(&worker, &leased).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_difference_of_minutes_is_harmless() {
    #[derive(Debug)]
    struct AheadClock;
    #[async_trait]
    impl Clock for AheadClock {
        fn now(&self) -> UnixMillis {
            SystemClock.now().plus(Duration::from_mins(7))
        }
    }
    let emulator = emulator().await;
    let effects = Effects { clock: Arc::new(AheadClock), ..Effects::system() };
    let engine = CloudflareEngine::open(quick(&emulator), effects).await.unwrap().0;
    engine.enqueue("a".to_owned()).await.unwrap();
    let leased = lease(&worker(&engine), 1).await;
    let apart = AheadClock.now().since(leased[0].enqueued_at.unwrap());
    assert!(apart > Duration::from_mins(6), "the service's own time: {apart:?}");
    ack(&worker(&engine), &leased).await;
    assert_eq!(emulator.messages(QUEUE), []);
}
