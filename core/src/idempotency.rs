//! Idempotency keys, under which a repeated request has the id of the first.

use core::fmt;

use sha2::{Digest, Sha256};

use crate::request::SessionRequest;
use crate::request_id::RequestId;

/// The value of an `Idempotency-Key` header: 1 to 255 visible ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey<'a>(&'a [u8]);

impl<'a> IdempotencyKey<'a> {
    /// Parses the value of the header.
    ///
    /// # Errors
    /// [`IdempotencyKeyError`] if it is empty, too long or contains a character outside `!` to `~`.
    pub fn from_header(value: &'a [u8]) -> Result<Self, IdempotencyKeyError> {
        if (1..=255).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic) {
            Ok(Self(value))
        } else {
            Err(IdempotencyKeyError)
        }
    }

    /// Derives the id of `request` under this key: the same key and payload have the same id on every edge.
    ///
    /// Each part is hashed after its length, so that two different lists of parts never produce the same input.
    #[must_use]
    pub fn request_id(&self, request: &SessionRequest) -> RequestId {
        let mut hash = Sha256::new();
        for part in [
            self.0,
            request.station_id.as_str().as_bytes(),
            request.driver_token.as_str().as_bytes(),
            request.callback_url.as_str().as_bytes(),
        ] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_at(16);
        RequestId::v8(first.try_into().unwrap_or_default())
    }
}

impl fmt::Debug for IdempotencyKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

/// The error for a header that is not an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKeyError;

impl fmt::Display for IdempotencyKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be 1 to 255 visible ASCII characters")
    }
}

impl core::error::Error for IdempotencyKeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DestinationPolicy;

    fn request(station: &str, token: &str, url: &str) -> SessionRequest {
        let body =
            alloc::format!(r#"{{"station_id":"{station}","driver_token":"{token}","callback_url":"{url}"}}"#);
        SessionRequest::parse(body.as_bytes(), &DestinationPolicy::default()).unwrap()
    }

    #[test]
    fn the_id_is_derived_from_key_and_payload() {
        const STATION: &str = "123e4567-e89b-12d3-a456-426614174000";
        const TOKEN: &str = "driver-allowed-0000000001";
        let id = |key: &str, url: &str| {
            IdempotencyKey::from_header(key.as_bytes()).unwrap().request_id(&request(STATION, TOKEN, url))
        };
        let first = id("k", "https://example.com/cb");
        assert_eq!(first, id("k", "https://example.com/cb"));
        assert_ne!(first, id("l", "https://example.com/cb"));
        assert_ne!(first, id("k", "https://example.com/cb2"));
        assert_eq!(uuid::Uuid::from_bytes(*first.as_bytes()).get_version_num(), 8);
        // Pinned: every edge, of every release, must derive the same id.
        assert_eq!(alloc::format!("{first}"), "997061b5-4212-8e26-aef8-206f19944cef");
    }

    #[test]
    fn a_key_has_1_to_255_visible_ascii_characters() {
        for (length, accepted) in [(0, false), (1, true), (255, true), (256, false)] {
            assert_eq!(IdempotencyKey::from_header(&alloc::vec![b'k'; length]).is_ok(), accepted, "{length}");
        }
        for byte in 0..=255_u8 {
            assert_eq!(IdempotencyKey::from_header(&[byte]).is_ok(), (0x21..=0x7e).contains(&byte), "{byte}");
        }
    }
}
