//! Measures throughput: `cargo test --release -p chargegate-pull cloudflare::rate -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Duration;

use chargegate_cloudflare_emulator::{CloudflareEmulator, EmulatorEndpoint, EmulatorFault, EmulatorMessage};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{emulator, eventually, worker};
use crate::queues::cloudflare::{QUEUE, open, settings};
use chargegate_storage::conformance::queues::keys;

const MESSAGES: usize = 50_000;
/// To Cloudflare and back.
const ROUND_TRIP: Duration = Duration::from_millis(100);
const WINDOW: usize = 4_096;
/// Duration of a record call.
const RECORD: Duration = Duration::from_millis(20);

fn calls(emulator: &CloudflareEmulator) -> u64 {
    emulator.calls(EmulatorEndpoint::Pull).calls + emulator.calls(EmulatorEndpoint::Ack).calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rate_of_pulls_and_acknowledgements() {
    for round_trip in [Duration::ZERO, ROUND_TRIP] {
        let emulator = emulator().await;
        let engine = open(&settings(&emulator)).await;
        let worker = worker(&engine);
        let body = "x".repeat(400);
        for _ in 0..MESSAGES {
            assert!(emulator.put(QUEUE, EmulatorMessage::text(body.clone())));
        }
        if !round_trip.is_zero() {
            for endpoint in [EmulatorEndpoint::Pull, EmulatorEndpoint::Ack] {
                emulator.inject(endpoint, EmulatorFault::Slow(round_trip), u32::MAX);
            }
        }
        let before = calls(&emulator);
        let places = Arc::new(Semaphore::new(WINDOW));
        let began = Instant::now();
        let mut left = MESSAGES;
        while left > 0 {
            drop(places.acquire().await.unwrap());
            let leased = worker.lease(places.available_permits(), Duration::from_millis(500)).await.unwrap();
            left -= leased.len();
            for some in leased.chunks(256) {
                places.forget_permits(some.len());
                let (worker, done, places) = (Arc::clone(&worker), keys(some), Arc::clone(&places));
                tokio::spawn(async move {
                    tokio::time::sleep(RECORD).await;
                    let count = done.len();
                    worker.ack(done).await.unwrap();
                    places.add_permits(count);
                });
            }
        }
        eventually("all is acknowledged", async || (emulator.messages(QUEUE).is_empty()).then_some(())).await;
        let took = began.elapsed();
        let messages = f64::from(u32::try_from(MESSAGES).unwrap());
        let made = calls(&emulator) - before;
        let per_call = messages / f64::from(u32::try_from(made).unwrap());
        let rate = messages / took.as_secs_f64();
        println!(
            "{round_trip:?} a round trip: {rate:.0}/s, {made} calls, {per_call:.2} messages a call, {took:?}"
        );
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn pulls_of_an_idle_worker() {
    let emulator = emulator().await;
    let engine = open(&settings(&emulator)).await;
    let worker = worker(&engine);
    let pulls = || emulator.calls(EmulatorEndpoint::Pull).calls;
    for time in [20, 60].map(Duration::from_secs) {
        let (began, before) = (Instant::now(), pulls());
        while began.elapsed() < time {
            assert!(worker.lease(100, Duration::from_millis(500)).await.unwrap().is_empty());
        }
        println!("{} pulls in {time:?}", pulls() - before);
    }
    engine.close().await;
}
