//! The message group of a message, by which SQS shares a queue fairly between clients.

use alloc::format;
use alloc::string::String;

use chargegate_core::CallbackUrl;
use chargegate_core::json::{self, JsonMember, JsonValue};

/// Returns the message group for a callback URL: the 64-bit FNV-1a of its host, in hexadecimal digits.
///
/// With a group per host, one client's backlog does not delay the messages of others. The group is within the 128
/// characters that SQS accepts, for every host, and does not disclose the client's name to those who see the queue.
#[must_use]
pub fn message_group(callback_url: &CallbackUrl) -> String {
    let hash = callback_url.host_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Returns the group of an encoded message, or `None` if the message has no valid callback URL.
#[must_use]
pub fn group_of_message(message: &str) -> Option<String> {
    let [url] = json::read_object(message.as_bytes(), ["callback_url"]).ok()??.named;
    let JsonMember::Once(JsonValue::String(url)) = url else { return None };
    url.decode().parse().ok().map(|url| message_group(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(message_group(&url.parse().unwrap()), expected, "{url}");
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The published 64-bit FNV-1a of these hosts.
        check("http://a", "af63dc4c8601ec8c");
        check("http://foobar", "85944171f73967e8");
    }

    #[test]
    fn only_the_host_counts() {
        check("https://FOOBAR:8443/path?token=secret", "85944171f73967e8");
        let group = |url: &str| message_group(&url.parse().unwrap());
        assert_ne!(group("https://a.example"), group("https://b.example"));
        assert_eq!(group("https://[2001:db8::1]:1/").len(), 16);
    }

    #[test]
    fn the_group_of_a_message_is_that_of_its_callback_url() {
        let group = group_of_message(r#"{"v":1,"callback_url":"https://foobar/x?y=z"}"#);
        assert_eq!(group.as_deref(), Some("85944171f73967e8"));
        for message in ["", "{}", r#"{"callback_url":1}"#, r#"{"callback_url":"ftp://foobar/"}"#] {
            assert_eq!(group_of_message(message), None, "{message}");
        }
    }
}
