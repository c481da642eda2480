//! Cloudflare Queues, in our emulator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_cloudflare_emulator::{
    ApiTokenSettings, CloudflareEmulator, EmulatedQueueSettings, EmulatorMessage,
    EmulatorSettings as Emulated, MessageContentType, PullConsumerSettings, QueueConsumer, TokenPermission,
};
use chargegate_pull::cloudflare::{CloudflareEngine, CloudflareSettings};
use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::{Clock as _, Effects, SystemClock};
use tokio::sync::Mutex;

use chargegate_storage::conformance::queues::{QueueFixture, QueueHandle, QueueOptions};

pub(crate) const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
pub(crate) const QUEUE: &str = "cafecafecafecafecafecafecafecafe";
const DEAD: &str = "deadbeefdeadbeefdeadbeefdeadbeef";
pub(crate) const TOKEN: &str = "token";

/// Returns a queue created as documented, with a token for it.
pub(crate) fn emulated() -> Emulated {
    let dead = EmulatedQueueSettings::new(ACCOUNT, DEAD, "jobs-dead");
    let mut jobs = EmulatedQueueSettings::new(ACCOUNT, QUEUE, "jobs");
    jobs.consumer = QueueConsumer::HttpPull(PullConsumerSettings {
        dead_letter_queue: Some(dead.name.clone()),
        max_retries: 100,
        ..PullConsumerSettings::default()
    });
    Emulated {
        queues: vec![jobs, dead],
        tokens: vec![ApiTokenSettings::new(ACCOUNT, TOKEN, TokenPermission::Edit)],
        messages_per_second: None,
        ..Emulated::default()
    }
}

/// Returns the settings of that queue.
pub(crate) fn settings(emulator: &CloudflareEmulator) -> CloudflareSettings {
    let url = format!("cloudflare://{ACCOUNT}/{QUEUE}").parse().unwrap();
    let base_url = emulator.api_url().parse().unwrap();
    CloudflareSettings { base_url, ..CloudflareSettings::new(url, TOKEN.parse().unwrap()) }
}

pub(crate) async fn open(settings: &CloudflareSettings) -> CloudflareEngine {
    CloudflareEngine::open(settings.clone(), Effects::system()).await.unwrap().0
}

/// The queue of one test on its own emulator.
pub(crate) struct CloudflareTestQueue {
    emulator: CloudflareEmulator,
    settings: CloudflareSettings,
    edge: CloudflareEngine,
    /// The workers that were not killed, to close by.
    engines: Mutex<Vec<(QueueHandle, CloudflareEngine)>>,
}

#[async_trait]
impl QueueFixture for CloudflareTestQueue {
    const ORDERED: bool = false;
    const DEPTH_LIMIT: bool = false;
    const RELEASE_COUNTS: bool = true;
    const DEATH_IS_NOTICED: bool = false;
    const PAUSE: Duration = Duration::from_secs(1);
    const SHORTEST_LEASE: Duration = Duration::from_secs(1);
    const FEWER: usize = 4;

    async fn start(QueueOptions { depth_limit: _, message_lease }: QueueOptions) -> Self {
        let emulator = CloudflareEmulator::start(emulated()).await.unwrap();
        let idle_pause = Self::PAUSE / 4;
        let settings = CloudflareSettings { message_lease, idle_pause, ..settings(&emulator) };
        let edge = open(&settings).await;
        Self { emulator, settings, edge, engines: Mutex::default() }
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

    async fn enqueue_no_message(&self) {
        let message = EmulatorMessage::new(MessageContentType::Bytes, Self::NO_MESSAGE.to_vec()).unwrap();
        assert!(self.emulator.put(QUEUE, message));
    }

    async fn kill(&self, worker: QueueHandle) -> QueueHandle {
        // Without its tasks and connections it is silent, like a killed process.
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
        Some(SystemClock.now().0)
    }
}
