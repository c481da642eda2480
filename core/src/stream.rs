//! The names of Redis and Valkey streams, which the edge writes and the worker reads.

use alloc::format;
use alloc::string::String;
use core::num::NonZeroU16;

/// What the names of all keys begin with, unless told otherwise.
pub const STREAM_PREFIX: &str = "chargegate";

/// The one field of an entry: the message as JSON text.
pub const STREAM_FIELD: &str = "m";

/// The consumer group in which workers share a stream.
pub const STREAM_GROUP: &str = "workers";

/// The field of the hash [`history_key`] that says how many streams there are.
pub const STREAM_COUNT: &str = "streams";

/// The key of the hash in which a queue keeps its history, and the number of its streams.
#[must_use]
pub fn history_key(prefix: &str) -> String {
    format!("{prefix}:history")
}

/// The key of a stream. Its number is a hash tag, so that a cluster spreads the streams over its shards.
#[must_use]
pub fn stream_key(prefix: &str, number: u16) -> String {
    format!("{prefix}:{{{number}}}")
}

/// The number of the stream that `message` goes to, of `streams` in all: 32-bit FNV-1a of the whole text, by the
/// number of streams.
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

    /// The published 32-bit FNV-1a of `text` is `hash`.
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
    fn messages_spread_evenly() {
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
