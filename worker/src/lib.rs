//! The worker: takes accepted requests from a queue, asks the authorization service at a pace it can bear,
//! records each decision, and calls back until the callback arrives.

mod effects;
mod error;
pub mod queue;
pub mod store;

pub use effects::{Clock, Effects, Random, SystemClock, SystemRandom};
pub use error::{EngineError, Fate};
