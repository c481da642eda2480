//! The queue of the edge on Amazon SQS, as a component that Spin composes with the edge.
//!
//! [`Queue`] holds the rules and knows no host: how a message is sent and signed, and what an answer of the service
//! means. For WASI, `http.rs` makes the requests and `component.rs` exports the queue.
#![cfg_attr(
    target_os = "wasi",
    expect(
        unsafe_code,
        reason = "the bindings of the exported queue are generated, with unsafe functions in them"
    )
)]

#[cfg(target_os = "wasi")]
mod component;
#[cfg(target_os = "wasi")]
mod http;

mod answer;
mod cause;
mod queue;
mod request;
mod settings;

pub use answer::Answer;
pub use cause::Cause;
pub use queue::{NoAnswer, Queue, Service};
pub use request::Post;
pub use settings::Settings;

/// Why a message was not confirmed.
pub type QueueError = chargegate_queue::QueueError<Cause>;
