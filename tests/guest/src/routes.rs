//! The behaviour of each path.

use std::fs;
use std::hint::black_box;
use std::net::TcpStream;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use spin_sdk::http::StatusCode;
use spin_sdk::wasip3::clocks::monotonic_clock;

use crate::service::queue;

/// Runs the behaviour of `path`, and returns the status and the text of the response.
pub(crate) async fn respond(path: &str, argument: &str, body: Bytes) -> (StatusCode, String) {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    match path {
        "/served" => ok(served.to_string()),
        "/minimal" => minimal(body).await,
        "/spin" => spin(),
        "/trap" => process::abort(),
        "/grow" => grow(argument),
        "/hang" => {
            monotonic_clock::wait_for(u64::MAX / 2).await;
            ok("woke up")
        }
        "/outgoing" => ok(grant(&spin_sdk::http::get(argument).await)),
        "/socket" => ok(grant(&TcpStream::connect(argument))),
        "/file" => ok(grant(&fs::read_dir(argument))),
        "/variable" => ok(std::env::var(argument).unwrap_or_default()),
        "/variables" => ok(std::env::vars().count().to_string()),
        "/large" => ok("x".repeat(argument.parse().unwrap_or_default())),
        _ => (StatusCode::NOT_FOUND, String::new()),
    }
}

fn ok(text: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::OK, text.into())
}

fn grant<T, E>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { "granted" } else { "refused" }
}

/// Enqueues the body, which is the least that an edge can do.
async fn minimal(body: Bytes) -> (StatusCode, String) {
    match queue::enqueue(String::from_utf8_lossy(&body).into_owned()).await {
        Ok(()) => (StatusCode::ACCEPTED, r#"{"status":"accepted"}"#.into()),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

/// Loops without yielding.
fn spin() -> ! {
    let mut rounds = 0_u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

/// Allocates a number of MiB at once, or without a number allocates without end.
fn grow(argument: &str) -> (StatusCode, String) {
    const MIB: usize = 1024 * 1024;
    if let Ok(mib) = argument.parse::<usize>() {
        return ok(grant(&Vec::<u8>::new().try_reserve_exact(mib.saturating_mul(MIB))));
    }
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(vec![1_u8; MIB]));
    }
}
