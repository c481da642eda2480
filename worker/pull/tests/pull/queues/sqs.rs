//! Amazon SQS, as Moto plays it.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_pull::sqs::{AwsCredentials, CredentialsSource, SqsEngine, SqsSettings};
use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::{Clock as _, Effects, SystemClock};
use serde_json::json;
use tokio::sync::Mutex;

use crate::sqs::by_hand::TemporaryQueue;
use chargegate_storage::conformance::queues::{QueueFixture, QueueHandle, QueueOptions};

/// Endpoint of the shared Moto, for tests that do not disturb it.
pub(crate) fn endpoint() -> String {
    let variable = "CHARGEGATE_SQS_ENDPOINT";
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run by `cargo xtask test`, which sets it"))
}

/// Settings for a queue that was created at `endpoint`, with credentials that Moto believes.
pub(crate) fn settings(endpoint: &str, queue: &TemporaryQueue) -> SqsSettings {
    let name = &queue.name;
    let host = endpoint.strip_prefix("http://").unwrap();
    let url = format!("sqs+http://{host}/{ACCOUNT}/{name}?region={REGION}").parse().unwrap();
    let fixed = AwsCredentials::new("AKIATEST", "secret", None, None, "test");
    SqsSettings { credentials: CredentialsSource::Fixed(fixed), ..SqsSettings::new(url) }
}

/// Moto's account.
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-central-1";

pub(crate) async fn open(settings: &SqsSettings) -> SqsEngine {
    SqsEngine::open(settings.clone(), Effects::system()).await.unwrap().0
}

/// The queue of one test on a server that all share.
pub(crate) struct SqsTestQueue {
    queue: TemporaryQueue,
    settings: SqsSettings,
    edge: SqsEngine,
    /// The workers that were not killed, to close by.
    engines: Mutex<Vec<(QueueHandle, SqsEngine)>>,
}

#[async_trait]
impl QueueFixture for SqsTestQueue {
    const ORDERED: bool = false;
    const DEPTH_LIMIT: bool = false;
    const RELEASE_COUNTS: bool = true;
    const LATE_ACK_COUNTS: bool = false;
    const SHORTEST_LEASE: Duration = Duration::from_secs(1);
    const NO_MESSAGE: &[u8] = "\u{fffd} { not \t json".as_bytes();
    const FEWER: usize = 10;

    async fn start(QueueOptions { depth_limit: _, message_lease }: QueueOptions) -> Self {
        let endpoint = endpoint();
        let queue = TemporaryQueue::create(&endpoint);
        let settings = SqsSettings { message_lease, ..settings(&endpoint, &queue) };
        let edge = open(&settings).await;
        Self { queue, settings, edge, engines: Mutex::default() }
    }

    async fn worker(&self) -> QueueHandle {
        let engine = open(&self.settings).await;
        let worker: QueueHandle = Arc::new(engine.clone());
        self.engines.lock().await.push((Arc::clone(&worker), engine));
        worker
    }

    async fn enqueue(&self, body: &str) -> Result<(), EnqueueFailure> {
        self.edge.enqueue(body.to_owned()).await
    }

    fn accepts(body: &str) -> bool {
        !body.is_empty() && !body.contains('\0')
    }

    async fn enqueue_no_message(&self) {
        self.queue.call("SendMessage", json!({ "MessageBody": str::from_utf8(Self::NO_MESSAGE).unwrap() }));
    }

    async fn kill(&self, worker: QueueHandle) -> QueueHandle {
        // Without its tasks and connections it is silent, as a process that is gone.
        self.engines.lock().await.retain(|(other, _)| !Arc::ptr_eq(other, &worker));
        drop(worker);
        self.worker().await
    }

    async fn close(&self, worker: &QueueHandle) {
        for (other, engine) in self.engines.lock().await.iter() {
            if Arc::ptr_eq(other, worker) {
                engine.close().await;
            }
        }
    }

    async fn server_time(&self) -> Option<u64> {
        // It runs on this machine.
        Some(SystemClock.now().0)
    }

    /// All at once: calls carry ten at a time then.
    async fn enqueue_all<'a>(&self, bodies: impl IntoIterator<Item = &'a str> + Send) {
        let bodies: Vec<_> = bodies.into_iter().map(str::to_owned).collect();
        let enqueuing: Vec<_> = bodies
            .into_iter()
            .map(|body| {
                let edge = self.edge.clone();
                tokio::spawn(async move { edge.enqueue(body).await })
            })
            .collect();
        for enqueued in enqueuing {
            enqueued.await.unwrap().unwrap();
        }
    }
}
