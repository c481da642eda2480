//! SHA-256 and HMAC, as signatures use them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "RFC 2104 takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key has any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// The key that is good for one scope only.
pub(crate) fn key(secret_access_key: &str, scope: [&str; 4]) -> [u8; 32] {
    let [date, rest @ ..] = scope;
    let first = hmac(format!("AWS4{secret_access_key}").as_bytes(), date.as_bytes());
    rest.iter().fold(first, |key, part| hmac(&key, part.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
