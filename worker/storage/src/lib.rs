//! The interfaces between the worker and its engines: what a queue and a store must do, and what both sides share.
//!
//! No engine is named here. With the feature `testing` come fakes, and the conformance suites that every engine runs.

mod effects;
mod error;
mod gather;
pub mod history;
pub mod inspect;
pub mod metric;
mod outage;
pub mod queue;
pub mod reconcile;
pub mod store;
mod watched;

#[cfg(any(test, feature = "testing"))]
#[allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed assumption of a suite fails the test that runs it"
)]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
#[allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed assumption of a fake fails the test that uses it"
)]
pub mod testing;

pub use effects::{Clock, Effects, Random, SystemClock, SystemRandom};
pub use error::{EngineError, Fate};
pub use gather::Gather;
pub use outage::Outage;
pub use watched::spawn_watched;
