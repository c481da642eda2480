//! Interfaces between the worker and its engines: the traits of a queue and a store, and the parts that both sides
//! share.
//!
//! This crate depends on no engine. The feature `testing` adds fakes and the conformance suites that every engine runs.

mod batcher;
mod effects;
mod error;
mod failure_backoff;
pub mod fleet;
pub mod history;
pub mod inspect;
pub mod metric;
pub mod operate;
pub mod queue;
pub mod reconcile;
pub mod store;
mod task_end;

#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "a failed assumption of a suite fails the test that runs it"
)]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::len_without_is_empty,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed assumption of a fake fails the test that uses it"
)]
pub mod testing;

pub use batcher::Batcher;
pub use effects::{Clock, Effects, Random, SystemClock, SystemRandom};
pub use error::{EngineError, ErrorFate, QueueError, StoreError};
pub use failure_backoff::FailureBackoff;
pub use task_end::spawn_signalling_end;
