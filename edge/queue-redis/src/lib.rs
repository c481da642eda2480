//! The edge's queue on a Redis or Valkey stream, as a component that Spin composes with the edge.
//!
//! [`RedisStreamQueue`] holds the rules and does not depend on a host: how a message is appended within the depth
//! limit, how a reply is read, and which connections are kept. For WASI, `component.rs` translates to `spin:redis`.

#[cfg(target_os = "wasi")]
mod component;

mod command;
mod error;
mod queue;
mod settings;

pub use command::{RedisArgument, RedisCommand, RedisReply};
pub use error::RedisEnqueueError;
pub use queue::{RedisConnection, RedisConnector, RedisStreamQueue};
pub use settings::RedisQueueSettings;
