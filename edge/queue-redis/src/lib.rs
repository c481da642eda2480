//! The queue of the edge over Redis or Valkey streams, as a component that Spin composes with the edge.
//!
//! [`Queue`] holds the rules and knows no host: how a message is appended within the depth limit, what an answer of the
//! server means, and which connections are kept. For WASI, `component.rs` translates to `spin:redis`.
#![cfg_attr(
    target_os = "wasi",
    expect(
        unsafe_code,
        reason = "the bindings of the exported queue are generated, with unsafe functions in them"
    )
)]

#[cfg(target_os = "wasi")]
mod component;

mod command;
mod error;
mod queue;
mod settings;

pub use command::{Argument, Command, Reply};
pub use error::Cause;
pub use queue::{Connection, Queue, Server};
pub use settings::Settings;

/// Why a message was not confirmed.
pub type QueueError = chargegate_queue::QueueError<Cause>;
