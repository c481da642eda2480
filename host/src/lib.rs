//! Runs the edge component inside this process: wasmtime behind hyper, with the component's `queue` implemented by the
//! caller.
//!
//! The component is given the variables of [`Settings::variables`], clocks, randomness and the queue, and nothing else:
//! no files, no sockets, no outgoing HTTP. What it may take of time and memory is bounded by [`Limits`], from outside.

mod answer;
mod engine;
mod exchange;
mod instances;
mod queue;
mod server;
mod settings;
mod state;
mod taken;

pub use engine::{Host, LoadError};
pub use server::Drain;
pub use settings::{Limits, Settings};
