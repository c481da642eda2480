//! Faults of a queue behind Cloudflare's API, each test on its own emulator.

mod faults;
mod opening;
mod rate;

use std::sync::Arc;
use std::time::Duration;

use chargegate_cloudflare_emulator::{CloudflareEmulator, EmulatedQueueSnapshot};
use chargegate_pull::cloudflare::{CloudflareEngine, CloudflareSettings};
use tokio::time::Instant;

use crate::queues::cloudflare::{QUEUE, emulated, settings};
use chargegate_storage::conformance::queues::{PATIENCE, QueueHandle};

async fn emulator() -> CloudflareEmulator {
    CloudflareEmulator::start(emulated()).await.unwrap()
}

/// Returns settings with short waits.
fn quick(emulator: &CloudflareEmulator) -> CloudflareSettings {
    let message_lease = Duration::from_secs(3);
    CloudflareSettings { message_lease, idle_pause: Duration::from_millis(250), ..settings(emulator) }
}

fn worker(engine: &CloudflareEngine) -> QueueHandle {
    Arc::new(engine.clone())
}

fn view(emulator: &CloudflareEmulator) -> EmulatedQueueSnapshot {
    emulator.queue(QUEUE).unwrap()
}

/// Waits until `so` returns a value.
async fn eventually<T>(what: &str, mut so: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE * 6;
    loop {
        if let Some(done) = so().await {
            return done;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
