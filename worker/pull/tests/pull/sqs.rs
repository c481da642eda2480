//! Faults of a queue on Amazon SQS, each test with its own servers and peers.

mod answers;
pub(crate) mod by_hand;
mod calls;
mod credentials;
mod faults;
mod opening;
mod proxy;

use std::error::Error;
use std::time::Duration;

use chargegate_pull::sqs::{SqsEngine, SqsSettings};
use chargegate_storage::queue::{LeasedMessage, Queue as _};
use chargegate_storage::{QueueError, Random as _, SystemRandom};
use tokio::time::Instant;

use self::by_hand::TemporaryQueue;
use self::proxy::SqsProxy;
use crate::queues::sqs::{endpoint, open, settings};
use chargegate_storage::conformance::queues::{PATIENCE, keys, sorted};

/// A queue on the Moto that all share, with a proxy before it.
struct Setting {
    proxy: SqsProxy,
    queue: TemporaryQueue,
    settings: SqsSettings,
}

impl Setting {
    async fn new() -> Self {
        let endpoint = endpoint();
        let (proxy, queue) = (SqsProxy::to(&endpoint).await, TemporaryQueue::create(&endpoint));
        let message_lease = Duration::from_secs(1);
        let settings = SqsSettings { message_lease, ..settings(&proxy.url(), &queue) };
        Self { proxy, queue, settings }
    }

    async fn open(&self) -> SqsEngine {
        open(&self.settings).await
    }
}

/// Bodies that no other has.
fn some_bodies(count: usize) -> Vec<String> {
    (0..count).map(|_| format!("{:016x}", SystemRandom.bits())).collect()
}

async fn enqueue(engine: &SqsEngine, bodies: &[String]) {
    let enqueuing: Vec<_> = bodies
        .iter()
        .map(|body| {
            let (engine, body) = (engine.clone(), body.clone());
            tokio::spawn(async move { engine.enqueue(body).await })
        })
        .collect();
    for enqueued in enqueuing {
        enqueued.await.unwrap().unwrap();
    }
}

/// Leases and acknowledges until the queue is empty, whatever fails meanwhile: each of the bodies has come then, unless
/// it is among those that came before.
async fn all_come(engine: &SqsEngine, before: &[String], bodies: &[String]) {
    let mut come = before.to_vec();
    eventually("all messages come", async || {
        let leased = engine.lease(100, Duration::from_secs(1)).await.unwrap_or_default();
        come.extend(leased.iter().map(body));
        let _ = engine.ack(keys(&leased)).await;
        let empty = engine.depth().await.is_ok_and(|depth| depth.waiting == 0);
        empty.then_some(())
    })
    .await;
    let mut come = sorted(come);
    come.dedup();
    assert_eq!(come, sorted(bodies.to_vec()));
}

fn body(message: &LeasedMessage) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

/// Waits until a lease says that the queue cannot be had, and gives what it says.
async fn cannot_be_had(engine: &SqsEngine) -> String {
    eventually("the lease fails", async || match engine.lease(1, Duration::from_secs(1)).await {
        Err(error @ QueueError::Unavailable(_)) => Some(said(&error)),
        Err(error) => panic!("{error}"),
        Ok(_) => None,
    })
    .await
}

/// An error and its causes.
fn said(error: &dyn Error) -> String {
    let (mut said, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

/// Waits until `so` gives something.
async fn eventually<T>(what: &str, mut so: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        if let Some(done) = so().await {
            return done;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
