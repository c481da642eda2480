//! Measures throughput: `cargo test --release -p chargegate-redis rate -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Duration;

use chargegate_redis_layout::stream_key;
use redis::{cmd, pipe};
use tokio::time::Instant;

use super::{ask, on, servers, start, worker};
use crate::suite::{by_hand, open};
use chargegate_storage::conformance::queues::{QueueHandle, keys};

const MESSAGES: usize = 100_000;
const BATCH: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rate_of_leases_and_acks() {
    for program in servers() {
        for leasers in [1, 2, 4] {
            let server = start(&program, &[]);
            let settings = on(&server);
            let engine = open(&settings).await;
            let mut connection = by_hand(&server.url()).await;
            let body = "x".repeat(400);
            for _ in 0..MESSAGES / 1_000 {
                let mut many = pipe();
                for _ in 0..1_000 {
                    many.cmd("XADD").arg(stream_key(&settings.prefix)).arg("*").arg("m").arg(&body).ignore();
                }
                many.query_async::<()>(&mut connection).await.unwrap();
            }
            let began = Instant::now();
            let working: Vec<_> = (0..leasers).map(|_| tokio::spawn(drain(worker(&engine)))).collect();
            let mut drained = 0;
            for working in working {
                drained += working.await.unwrap();
            }
            let elapsed = began.elapsed();
            assert_eq!(drained, MESSAGES);
            let rate = f64::from(u32::try_from(MESSAGES).unwrap()) / elapsed.as_secs_f64();
            let info: String = ask(&server.url(), cmd("INFO").arg("server")).await;
            let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?");
            println!("{version}, {leasers} concurrent leases: {rate:.0}/s, {elapsed:?}");
        }
    }
}

/// Acks a batch while the next one is received, as the pipeline does.
async fn drain(worker: QueueHandle) -> usize {
    let mut drained = 0;
    let mut acknowledging: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        let leased = worker.lease(BATCH, Duration::from_millis(200)).await.unwrap();
        if let Some(acknowledging) = acknowledging.take() {
            acknowledging.await.unwrap();
        }
        if leased.is_empty() {
            return drained;
        }
        drained += leased.len();
        let worker = Arc::clone(&worker);
        acknowledging = Some(tokio::spawn(async move { worker.ack(keys(&leased)).await.unwrap() }));
    }
}
