//! The settings of the queue on Redis.

use std::fmt::{self, Write as _};
use std::time::Duration;

use chargegate_queue::{ComponentSettings, ComponentSettingsError, parse_number, parse_timeout};
use chargegate_redis_layout::STREAM_PREFIX;

/// The settings of the queue on Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisQueueSettings {
    /// The server's URL, including credentials.
    pub(crate) url: String,
    pub(crate) prefix: String,
    /// The depth limit.
    pub(crate) limit: u32,
    /// The time limit of one message, over all of its exchanges.
    pub(crate) timeout: Duration,
    /// The time limit of the sync to disk, if messages wait for it.
    pub(crate) waitaof: Option<Duration>,
}

impl ComponentSettings for RedisQueueSettings {
    const VARIABLES: &'static [&'static str] = &[
        "queue_url",
        "queue_username",
        "queue_password",
        "queue_database",
        "queue_prefix",
        "queue_limit",
        "queue_timeout_ms",
        "queue_waitaof_ms",
    ];

    fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ComponentSettingsError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let timeout = parse_timeout(set("queue_timeout_ms"))?;
        let waitaof = ComponentSettingsError("queue_waitaof_ms must be a number from 0 to 60000");
        let waitaof =
            parse_number(set("queue_waitaof_ms"), 0..=60_000, 0, waitaof).map(Duration::from_millis)?;
        if waitaof >= timeout {
            return Err(ComponentSettingsError("queue_waitaof_ms must be less than queue_timeout_ms"));
        }
        let prefix = set("queue_prefix").unwrap_or_else(|| STREAM_PREFIX.to_owned());
        if prefix.contains(['{', '}']) {
            return Err(ComponentSettingsError("queue_prefix must not contain braces"));
        }
        let limit = ComponentSettingsError("queue_limit must be a number from 1 to 4294967295");
        Ok(Self {
            url: build_url(&set)?,
            prefix,
            limit: parse_number(set("queue_limit"), 1..=u32::MAX, 100_000, limit)?,
            timeout,
            waitaof: (!waitaof.is_zero()).then_some(waitaof),
        })
    }
}

impl fmt::Debug for RedisQueueSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisQueueSettings").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Builds the complete URL for the host.
///
/// `queue_url` may contain only scheme, host and port, since the manifest also lists it as the allowed outbound host.
fn build_url(set: &impl Fn(&'static str) -> Option<String>) -> Result<String, ComponentSettingsError> {
    let malformed = ComponentSettingsError(
        "queue_url must be redis://host:port or rediss://host:port; user, password and database have their own variables",
    );
    let url = set("queue_url").ok_or(ComponentSettingsError("queue_url is not set"))?;
    let (scheme, server) = url.split_once("://").ok_or(malformed)?;
    let server = server.strip_suffix('/').unwrap_or(server);
    let is_invalid =
        |letter: char| matches!(letter, '/' | '@' | '?' | '#' | ',') || !letter.is_ascii_graphic();
    if !matches!(scheme, "redis" | "rediss") || server.is_empty() || server.contains(is_invalid) {
        return Err(malformed);
    }
    let username = set("queue_username").map(|text| percent_encode(&text)).unwrap_or_default();
    let credentials = match set("queue_password") {
        Some(password) => format!("{username}:{}@", percent_encode(&password)),
        None if username.is_empty() => String::new(),
        None => return Err(ComponentSettingsError("queue_username needs queue_password")),
    };
    let database = ComponentSettingsError("queue_database must be a number from 0 to 65535");
    let database = parse_number(set("queue_database"), 0..=u16::MAX, 0, database)?;
    Ok(format!("{scheme}://{credentials}{server}/{database}"))
}

/// Percent-encodes every byte except the unreserved characters (RFC 3986 section 2.3).
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
