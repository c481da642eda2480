//! Runs the edge component inside this process: wasmtime behind hyper, with the component's `queue` implemented by the
//! caller.
//!
//! The component has access to the variables of [`HostSettings::variables`], clocks, randomness and the queue, and to
//! nothing else: no files, no sockets, no outgoing HTTP. [`HostLimits`] bounds its time and memory from outside.

mod answer;
mod engine;
mod exchange;
mod instances;
mod queue;
mod server;
mod settings;
mod state;
mod write_timeout;

pub use engine::{ComponentLoadError, EdgeComponentHost};
pub use server::DrainOutcome;
pub use settings::{HostLimits, HostSettings};
