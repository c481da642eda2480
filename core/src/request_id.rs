//! Request ids and the text form of UUIDs.

use core::fmt;
use core::str::FromStr;

use crate::charset::{CharSet, HEX, HYPHEN};
use crate::time::UnixMillis;

/// The id of one accepted request: a UUID version 7, or version 8 when derived from an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Creates a UUID version 7 (RFC 9562 section 5.7) from the time and 10 random bytes.
    #[must_use]
    pub fn v7(now: UnixMillis, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = now.0.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        Self::stamped([t0, t1, t2, t3, t4, t5, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9], 0x70)
    }

    /// Creates a UUID version 8 (RFC 9562 section 5.8) from the first 16 bytes of a hash.
    #[must_use]
    pub(crate) fn v8(hash: [u8; 16]) -> Self {
        Self::stamped(hash, 0x80)
    }

    fn stamped(mut bytes: [u8; 16], version: u8) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | version;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Returns the 16 bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Creates the id from its 16 bytes, the form in which a store keeps it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Writes the form 8-4-4-4-12, lower case, into `buffer` and returns it as text.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        *buffer = [b'-'; 36];
        for (group, at) in [(0..4, 0), (4..6, 9), (6..8, 14), (8..10, 19), (10..16, 24)] {
            write_hex(buffer.get_mut(at..).unwrap_or_default(), self.0.get(group).unwrap_or_default());
        }
        core::str::from_utf8(buffer).unwrap_or_default()
    }
}

/// Writes `bytes` into `digits` as lower-case hexadecimal, two digits per byte.
pub(crate) fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[hex(byte >> 4), hex(byte & 0x0f)]);
    }
}

/// Returns the lower-case hexadecimal digit of a nibble.
const fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

/// Returns the value of a hexadecimal digit of either case.
pub(crate) const fn unhex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Returns `true` if `text` has the form 8-4-4-4-12 (RFC 9562 section 4), in either case.
pub(crate) fn is_hyphenated_uuid(text: &[u8; 36]) -> bool {
    const SHAPE: [CharSet; 36] = {
        let mut shape = [HEX; 36];
        [shape[8], shape[13], shape[18], shape[23]] = [HYPHEN; 4];
        shape
    };
    text.iter().zip(SHAPE).fold(true, |all, (byte, set)| all & set.contains(*byte))
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let text: &[u8; 36] = text.as_bytes().try_into().map_err(|_| RequestIdError)?;
        if !is_hyphenated_uuid(text) {
            return Err(RequestIdError);
        }
        let mut digits = text.iter().filter_map(|byte| unhex(*byte));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = (digits.next().unwrap_or(0) << 4) | digits.next().unwrap_or(0);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 36]))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::string::String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The error for a text that is not a UUID in the form 8-4-4-4-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIdError;

impl fmt::Display for RequestIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a UUID in the form 8-4-4-4-12")
    }
}

impl core::error::Error for RequestIdError {}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn formatting_and_parsing_agree_with_the_uuid_crate(bytes: [u8; 16]) {
            let text = RequestId::from_bytes(bytes).to_string();
            prop_assert_eq!(&text, &uuid::Uuid::from_bytes(bytes).to_string());
            prop_assert_eq!(text.parse::<RequestId>(), Ok(RequestId::from_bytes(bytes)));
            prop_assert_eq!(text.to_uppercase().parse::<RequestId>(), Ok(RequestId::from_bytes(bytes)));
        }

        #[test]
        fn a_v7_id_contains_its_time(ms in 0..1_u64 << 48, random: [u8; 10]) {
            let id = uuid::Uuid::from_bytes(*RequestId::v7(UnixMillis(ms), random).as_bytes());
            prop_assert_eq!(id.get_version_num(), 7);
            prop_assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            let (seconds, nanos) = id.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
            prop_assert_eq!(seconds * 1000 + u64::from(nanos) / 1_000_000, ms);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<RequestId>();
        }
    }
}
