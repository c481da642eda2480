//! The layout of the queue in Redis or Valkey, shared by the edge, which writes it, and the worker, which reads it.
#![no_std]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use core::num::NonZeroU16;

/// Default prefix of all keys.
pub const STREAM_PREFIX: &str = "chargegate";

/// Field of a stream entry that contains the message as JSON text, the only field.
pub const STREAM_FIELD: &str = "m";

/// Consumer group in which the workers share a stream.
pub const STREAM_GROUP: &str = "workers";

/// Field of the hash at [`history_key`] that contains the number of streams.
pub const STREAM_COUNT: &str = "streams";

/// Returns the key of the hash that contains the history of a queue and the number of its streams.
#[must_use]
pub fn history_key(prefix: &str) -> String {
    format!("{prefix}:history")
}

/// Returns the key of a stream. Its number is a hash tag, so that a cluster distributes the streams over its shards.
#[must_use]
pub fn stream_key(prefix: &str, number: u16) -> String {
    format!("{prefix}:{{{number}}}")
}

/// Returns the number of the stream for `message`: 32-bit FNV-1a of the complete text, modulo the number of streams.
#[must_use]
pub fn stream_for(message: &str, streams: NonZeroU16) -> u16 {
    let hash = message
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u16::try_from(hash % u32::from(streams.get())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;

    fn streams(count: u16) -> NonZeroU16 {
        NonZeroU16::new(count).unwrap()
    }

    /// Checks against `hash`, the published 32-bit FNV-1a of `text`.
    #[track_caller]
    fn check(text: &str, hash: u32) {
        for count in [1, 2, 3, 16, 1_000, u16::MAX] {
            let expected = u16::try_from(hash % u32::from(count)).unwrap();
            assert_eq!(stream_for(text, streams(count)), expected, "{text:?} of {count}");
        }
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        check("", 0x811c_9dc5);
        check("a", 0xe40c_292c);
        check("foobar", 0xbf9c_f968);
        check("chongo was here!\n", 0xd499_30d5);
    }

    #[test]
    fn messages_are_distributed_evenly() {
        let mut counts = vec![0_u32; 8];
        for n in 0..8_000 {
            let message = format!(r#"{{"v":1,"id":"{n:08}"}}"#);
            counts[usize::from(stream_for(&message, streams(8)))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_number_of_a_stream_is_its_hash_tag() {
        assert_eq!(stream_key(STREAM_PREFIX, 0), "chargegate:{0}");
        assert_eq!(stream_key("p", 12), "p:{12}");
    }
}
