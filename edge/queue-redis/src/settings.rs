//! Settings, from the variables of the component.

use std::fmt::{self, Write as _};
use std::num::NonZeroU16;
use std::time::Duration;

use chargegate_core::STREAM_PREFIX;
use chargegate_queue::{SettingError, number};

/// Every message names all streams, since their lengths are summed.
const MAX_STREAMS: NonZeroU16 = NonZeroU16::new(1_024).unwrap();

/// What an operator may set.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the server is, credentials included.
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) streams: NonZeroU16,
    /// For all streams together.
    pub(crate) limit: u32,
    /// For everything that one message takes.
    pub(crate) timeout: Duration,
    /// For the sync to disk, where it is waited for.
    pub(crate) waitaof: Option<Duration>,
}

impl Settings {
    /// The variables that are read.
    pub const VARIABLES: [&str; 9] = [
        "queue_url",
        "queue_username",
        "queue_password",
        "queue_database",
        "queue_prefix",
        "queue_streams",
        "queue_limit",
        "queue_timeout_ms",
        "queue_waitaof_ms",
    ];

    /// Reads the settings; `lookup` gives the value of a variable, if it is set. An empty value is as good as none.
    ///
    /// # Errors
    /// [`SettingError`], naming the first malformed variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let ms = |name, allowed, default, error| number(set(name), allowed, default, SettingError(error));
        let timeout =
            ms("queue_timeout_ms", 1..=60_000, 1_500, "queue_timeout_ms must be a number from 1 to 60000")?;
        let waitaof =
            ms("queue_waitaof_ms", 0..=60_000, 0, "queue_waitaof_ms must be a number from 0 to 60000")?;
        if waitaof >= timeout {
            return Err(SettingError("queue_waitaof_ms must be less than queue_timeout_ms"));
        }
        let prefix = set("queue_prefix").unwrap_or_else(|| STREAM_PREFIX.to_owned());
        if prefix.contains(['{', '}']) {
            return Err(SettingError("queue_prefix must not contain braces"));
        }
        let streams = SettingError("queue_streams must be a number from 1 to 1024");
        let limit = SettingError("queue_limit must be a number from 1 to 4294967295");
        Ok(Self {
            url: url(&set)?,
            prefix,
            streams: number(set("queue_streams"), NonZeroU16::MIN..=MAX_STREAMS, NonZeroU16::MIN, streams)?,
            limit: number(set("queue_limit"), 1..=u32::MAX, 100_000, limit)?,
            timeout: Duration::from_millis(timeout),
            waitaof: (waitaof > 0).then(|| Duration::from_millis(waitaof)),
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("prefix", &self.prefix)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// The URL for the host, which is given whole: `queue_url` itself is also what a manifest allows to be reached, and
/// there nothing but scheme, host and port may stand.
fn url(set: &impl Fn(&'static str) -> Option<String>) -> Result<String, SettingError> {
    let malformed = SettingError(
        "queue_url must be redis://host:port or rediss://host:port; user, password and database are variables of their own",
    );
    let url = set("queue_url").ok_or(SettingError("queue_url is not set"))?;
    let (scheme, server) = url.split_once("://").ok_or(malformed)?;
    let server = server.strip_suffix('/').unwrap_or(server);
    let is_outside =
        |letter: char| matches!(letter, '/' | '@' | '?' | '#' | ',') || !letter.is_ascii_graphic();
    if !matches!(scheme, "redis" | "rediss") || server.is_empty() || server.contains(is_outside) {
        return Err(malformed);
    }
    let username = set("queue_username").map(|text| encoded(&text)).unwrap_or_default();
    let credentials = match set("queue_password") {
        Some(password) => format!("{username}:{}@", encoded(&password)),
        None if username.is_empty() => String::new(),
        None => return Err(SettingError("queue_username needs queue_password")),
    };
    let database = SettingError("queue_database must be a number from 0 to 65535");
    let database = number(set("queue_database"), 0..=u16::MAX, 0, database)?;
    Ok(format!("{scheme}://{credentials}{server}/{database}"))
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
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
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingError> {
        assert!(variables.iter().all(|(name, _)| Settings::VARIABLES.contains(name)), "{variables:?}");
        let server = ("queue_url", "redis://127.0.0.1:6379");
        let found = |name: &str| variables.iter().chain([&server]).find(|(known, _)| *known == name);
        Settings::read(|name| found(name).map(|(_, value)| (*value).to_owned()))
    }

    #[track_caller]
    fn check_url(variables: &[(&str, &str)], expected: &str) {
        assert_eq!(read(variables).unwrap().url, expected);
    }

    #[test]
    fn a_url_is_put_together_from_its_parts() {
        check_url(&[], "redis://127.0.0.1:6379/0");
        check_url(
            &[("queue_url", "rediss://r.example:1/"), ("queue_database", "3")],
            "rediss://r.example:1/3",
        );
        check_url(&[("queue_url", "redis://[::1]:6379")], "redis://[::1]:6379/0");
        check_url(&[("queue_password", "p@/:ü")], "redis://:p%40%2F%3A%C3%BC@127.0.0.1:6379/0");
        check_url(&[("queue_username", "u%"), ("queue_password", "p")], "redis://u%25:p@127.0.0.1:6379/0");
    }

    #[test]
    fn a_url_with_more_than_a_server_is_refused() {
        for url in [
            "127.0.0.1:6379",
            "http://h:1",
            "redis://",
            "redis://u:p@h:1",
            "redis://h:1/2",
            "redis://h:1?a",
            "redis://h :1",
        ] {
            let error = read(&[("queue_url", url)]).unwrap_err();
            assert!(error.to_string().starts_with("queue_url must be"), "{url}: {error}");
        }
        assert_eq!(Settings::read(|_| None), Err(SettingError("queue_url is not set")));
    }

    #[test]
    fn numbers_are_held_to_their_range() {
        for (name, least, most) in [
            ("queue_database", 0_u64, 65_535),
            ("queue_streams", 1, 1_024),
            ("queue_limit", 1, u64::from(u32::MAX)),
            ("queue_timeout_ms", 1, 60_000),
            ("queue_waitaof_ms", 0, 1_499),
        ] {
            for (value, fits) in [
                (least.to_string(), true),
                (most.to_string(), true),
                (least.wrapping_sub(1).to_string(), false),
                ((most + 1).to_string(), false),
                ("-1".into(), false),
                ("1s".into(), false),
            ] {
                match read(&[(name, &value)]) {
                    Ok(_) => assert!(fits, "{name}={value}"),
                    Err(error) => {
                        assert!(!fits && error.to_string().starts_with(name), "{name}={value}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_variable_is_none() {
        let empty = Settings::VARIABLES
            .map(|name| (name, if name == "queue_url" { "redis://127.0.0.1:6379" } else { "" }));
        assert_eq!(read(&empty), read(&[]));
    }

    #[test]
    fn what_is_printed_has_no_password() {
        let settings = read(&[("queue_password", "secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn other_settings_that_cannot_be_are_named() {
        for (variables, error) in [
            ([("queue_prefix", "a{b")].as_slice(), "queue_prefix must not contain braces"),
            (&[("queue_username", "u")], "queue_username needs queue_password"),
            (
                &[("queue_timeout_ms", "500"), ("queue_waitaof_ms", "500")],
                "queue_waitaof_ms must be less than queue_timeout_ms",
            ),
        ] {
            assert_eq!(read(variables), Err(SettingError(error)));
        }
    }
}
