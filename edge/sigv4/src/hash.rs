//! SHA-256 and HMAC-SHA-256 for signatures.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "RFC 2104 accepts keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Derives the signing key, which is valid for one scope only.
pub(crate) fn signing_key(secret_access_key: &str, scope: [&str; 4]) -> [u8; 32] {
    let [date, rest @ ..] = scope;
    let first = hmac_sha256(format!("AWS4{secret_access_key}").as_bytes(), date.as_bytes());
    rest.iter().fold(first, |key, part| hmac_sha256(&key, part.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
