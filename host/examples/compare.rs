//! Compares the throughput of two components in the same host, with a queue that discards its messages.
//!
//! `cargo run --release -p chargegate-host --example compare -- EDGE.wasm GUEST.wasm [SECONDS]`: the edge, and the guest
//! that only reads the body, enqueues it and responds with 202. The runs alternate, so that both see the same machine.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chargegate_core::EnqueueError;
use chargegate_host::{EdgeComponentHost, HostSettings};
use chargegate_storage::queue::Producer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 16;
const ROUNDS: u32 = 5;
const BODY: &str = r#"{"station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001","callback_url":"https://client.example/charging-decisions?order=0123456789abcdef0123456789abcdef0123456789abcdef"}"#;

struct DiscardQueue;

#[async_trait]
impl Producer for DiscardQueue {
    async fn enqueue(&self, _body: String) -> Result<(), EnqueueError> {
        Ok(())
    }
}

type CompareError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), CompareError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(edge), Some(guest)) = (arguments.next(), arguments.next()) else {
        return Err("usage: compare EDGE.wasm GUEST.wasm [SECONDS]".into());
    };
    let seconds = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    let round = Duration::try_from_secs_f64(seconds)?;
    let edge = serve(&edge).await?;
    let guest = serve(&guest).await?;
    let mut total = [0_u32; 2];
    for _ in 0..ROUNDS {
        for (accepted, (address, path)) in
            total.iter_mut().zip([(edge, "/v1/charging-sessions"), (guest, "/minimal")])
        {
            *accepted += load(address, path, round).await?;
        }
    }
    let [edge, guest] = total.map(|accepted| f64::from(accepted) / (round * ROUNDS).as_secs_f64());
    let mut out = io::stdout();
    writeln!(out, "edge {edge:.0}/s, minimal {guest:.0}/s, cost of a request {:.2} times", guest / edge)?;
    Ok(())
}

async fn serve(component: &str) -> Result<SocketAddr, CompareError> {
    let host = EdgeComponentHost::load(HostSettings::new(std::fs::read(component)?))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { host.serve(listener, Arc::new(DiscardQueue), std::future::pending()).await });
    Ok(address)
}

/// Returns the number of requests that were accepted within `time`, from connections that each send sequentially.
async fn load(address: SocketAddr, path: &str, time: Duration) -> Result<u32, CompareError> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(client(address, request.clone(), end));
    }
    let mut accepted = 0;
    while let Some(client) = clients.join_next().await {
        accepted += client??;
    }
    Ok(accepted)
}

async fn client(address: SocketAddr, request: String, end: Instant) -> Result<u32, CompareError> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A response comes in one segment and is far shorter than this.
    let mut response = [0; 4096];
    let mut accepted = 0;
    while Instant::now() < end {
        stream.write_all(request.as_bytes()).await?;
        let length = stream.read(&mut response).await?;
        if !response.get(..length).is_some_and(|response| response.starts_with(b"HTTP/1.1 202")) {
            return Err("a response other than 202".into());
        }
        accepted += 1;
    }
    Ok(accepted)
}
