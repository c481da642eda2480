//! In-memory engines, hostile servers and proxies for tests, all on tokio's clock: under a paused clock, minutes pass
//! in milliseconds and every run is the same.

mod fault_proxy;
mod hostile_server;
mod journal;
mod queue;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chargegate_core::{MessageToken, RequestId, SessionMessage, UnixMillis};
use tokio::time::Instant;

pub use self::fault_proxy::FaultProxy;
pub use self::hostile_server::{HostileServer, read_request};
pub use self::journal::{EventJournal, JournalEvent};
pub use self::queue::MemoryQueue;
pub use self::store::{CallbackState, MemoryStore};
use crate::effects::{Clock, Effects, Random};
use crate::error::{QueueError, StoreError};

/// A token that every fake accepts.
pub const TOKEN: &str = "driver-allowed-0000000001";
/// A station.
pub const STATION: &str = "123e4567-e89b-12d3-a456-426614174000";

/// The time of day on tokio's clock.
#[derive(Debug)]
pub struct TokioClock {
    zero: Instant,
    epoch: UnixMillis,
}

impl TokioClock {
    /// Creates a clock that shows `epoch` now.
    pub fn starting_at(epoch: u64) -> Self {
        Self { zero: Instant::now(), epoch: UnixMillis(epoch) }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> UnixMillis {
        self.epoch.plus(self.zero.elapsed())
    }
}

/// Random numbers that are the same in every run: `SplitMix64`.
#[derive(Debug, Default)]
pub struct SeededRandom(AtomicU64);

impl Random for SeededRandom {
    fn bits(&self) -> u64 {
        let mut bits = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Returns tokio's clock, showing a day in 2026, and the same random numbers in every run.
pub fn effects() -> Effects {
    Effects {
        clock: Arc::new(TokioClock::starting_at(1_780_000_000_000)),
        random: Arc::new(SeededRandom::default()),
    }
}

/// Returns the `n`th request, accepted at `accepted_at`.
pub fn message(n: u32, accepted_at: UnixMillis) -> SessionMessage {
    let mut number = [0; 10];
    number[..4].copy_from_slice(&n.to_be_bytes());
    SessionMessage {
        id: RequestId::v7(UnixMillis(1), number),
        station_id: STATION.parse().unwrap(),
        driver_token: MessageToken::from(TOKEN),
        callback_url: "http://receiver.example/done".parse().unwrap(),
        accepted_at,
        traceparent: None,
    }
}

/// Returns a transient error of a queue.
pub fn queue_unavailable() -> QueueError {
    QueueError::Unavailable("injected".into())
}

/// Returns a transient error of a store.
pub fn store_unavailable() -> StoreError {
    StoreError::Unavailable("injected".into())
}

/// Waits, on tokio's clock, until `condition` holds; fails after `limit`.
#[track_caller]
pub fn eventually(limit: Duration, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let end = Instant::now() + limit;
        while !condition() {
            assert!(Instant::now() < end, "did not happen within {limit:?}: {place}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
