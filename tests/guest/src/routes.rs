//! What each path does.

use std::fs;
use std::hint::black_box;
use std::net::TcpStream;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use spin_sdk::http::StatusCode;
use spin_sdk::wasip3::clocks::monotonic_clock;

use crate::service::queue;

/// Takes a path, its query and the body; gives the status and the text.
pub(crate) async fn answer(path: &str, argument: &str, body: Bytes) -> (StatusCode, String) {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    match path {
        "/served" => said(served.to_string()),
        "/minimal" => minimal(body).await,
        "/spin" => spin(),
        "/trap" => process::abort(),
        "/grow" => grow(argument),
        "/hang" => {
            monotonic_clock::wait_for(u64::MAX / 2).await;
            said("woke up")
        }
        "/outgoing" => said(outcome(&spin_sdk::http::get(argument).await)),
        "/socket" => said(outcome(&TcpStream::connect(argument))),
        "/file" => said(outcome(&fs::read_dir(argument))),
        "/variable" => said(std::env::var(argument).unwrap_or_default()),
        "/variables" => said(std::env::vars().count().to_string()),
        "/large" => said("x".repeat(argument.parse().unwrap_or_default())),
        _ => (StatusCode::NOT_FOUND, String::new()),
    }
}

fn said(text: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::OK, text.into())
}

fn outcome<T, E>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { "granted" } else { "refused" }
}

/// The least an edge can do.
async fn minimal(body: Bytes) -> (StatusCode, String) {
    match queue::enqueue(String::from_utf8_lossy(&body).into_owned()).await {
        Ok(()) => (StatusCode::ACCEPTED, r#"{"status":"accepted"}"#.into()),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

/// Never yields.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Asks for that many MiB of memory at once, or without a number for ever more.
fn grow(argument: &str) -> (StatusCode, String) {
    const MIB: usize = 1024 * 1024;
    if let Ok(mib) = argument.parse::<usize>() {
        return said(outcome(&Vec::<u8>::new().try_reserve_exact(mib.saturating_mul(MIB))));
    }
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; MIB]));
    }
}
