//! The layout of the queue in Redis or Valkey, shared by the edge, which writes it, and the worker, which reads it.
//!
//! All keys of a queue share one hash tag, its prefix in braces, so that a cluster keeps them in one slot.
#![no_std]

extern crate alloc;

use alloc::format;
use alloc::string::String;

/// Default prefix of all keys.
pub const STREAM_PREFIX: &str = "chargegate";

/// Field of a stream entry that contains the message as JSON text, the only field.
pub const STREAM_FIELD: &str = "m";

/// Consumer group in which the workers share the stream.
pub const STREAM_GROUP: &str = "workers";

/// Returns the key of the stream of messages.
#[must_use]
pub fn stream_key(prefix: &str) -> String {
    format!("{{{prefix}}}:messages")
}

/// Returns the key of the hash that contains the history of a queue.
#[must_use]
pub fn history_key(prefix: &str) -> String {
    format!("{{{prefix}}}:history")
}

/// Returns the key that exists while a consumer is alive.
#[must_use]
pub fn heartbeat_key(prefix: &str, consumer: &str) -> String {
    format!("{{{prefix}}}:alive:{consumer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_share_one_hash_tag() {
        assert_eq!(stream_key(STREAM_PREFIX), "{chargegate}:messages");
        assert_eq!(history_key("p"), "{p}:history");
        assert_eq!(heartbeat_key("p", "worker-1"), "{p}:alive:worker-1");
    }
}
