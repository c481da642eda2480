//! Throughput of the emulator.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use chargegate_cloudflare_emulator::{CloudflareEmulator, EmulatorSettings, QUEUE_HEADER};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{JOBS, TOKEN, connect, exchange, leases, post, queue_path};

const MESSAGES: usize = 100_000;
const SENDERS: usize = 16;
const PULLERS: usize = 4;

/// `cargo test --release -p chargegate-cloudflare-emulator --test emulator -- --ignored --nocapture load`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it by itself and in release mode"]
async fn load_through_the_broker_and_out_by_pulls() {
    let settings = EmulatorSettings { messages_per_second: None, ..EmulatorSettings::sample() };
    let emulator = CloudflareEmulator::start(settings).await.unwrap();
    let address = emulator.address();

    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..SENDERS {
        tasks.spawn(send(address, MESSAGES / SENDERS));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    report("sent one by one through the broker", start);

    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..PULLERS {
        tasks.spawn(drain(address));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    report("pulled and acknowledged, 100 a call", start);
    assert_eq!(emulator.queue(JOBS).unwrap().outcomes.acknowledged, u64::try_from(MESSAGES).unwrap());
}

async fn send(address: SocketAddr, messages: usize) {
    let mut connection = connect(address).await;
    let body = Bytes::from("x".repeat(400));
    for _ in 0..messages {
        let request = Request::post("/message").header(QUEUE_HEADER, "jobs").header("x-msg-fmt", "text");
        let request = request.body(Full::new(body.clone())).unwrap();
        assert_eq!(exchange(&mut connection, request).await.unwrap().status, 200);
    }
}

async fn drain(address: SocketAddr) {
    let mut connection = connect(address).await;
    loop {
        let pull = post(
            &format!("{}/messages/pull", queue_path(JOBS)),
            Some(TOKEN),
            json!({ "batch_size": 100 }).to_string(),
        );
        let mut result = exchange(&mut connection, pull).await.unwrap().result();
        let messages: Vec<Value> = serde_json::from_value(result["messages"].take()).unwrap();
        if messages.is_empty() {
            return;
        }
        let acks = json!({ "acks": leases(&messages) }).to_string();
        let ack = post(&format!("{}/messages/ack", queue_path(JOBS)), Some(TOKEN), acks);
        exchange(&mut connection, ack).await.unwrap().result();
    }
}

fn report(what: &str, start: Instant) {
    let rate = u128::try_from(MESSAGES).unwrap() * 1_000 / start.elapsed().as_millis().max(1);
    println!("{what}: {rate} messages/s");
}
