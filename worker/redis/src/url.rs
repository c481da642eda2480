//! Address of the server.

use std::fmt;
use std::str::FromStr;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};

/// Address of a Redis or Valkey server, with credentials:
/// `redis://user:password@host:port/database`, or `rediss:` over TLS.
///
/// Displayed without user and password.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

/// The text is not the URL of a Redis or Valkey server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected redis://[user:password@]host[:port][/database], or the same with rediss:// for TLS")]
pub struct RedisUrlError;

impl RedisUrl {
    /// Returns the settings of the client, with `TCP_NODELAY`.
    pub(super) fn connection_info(&self) -> ConnectionInfo {
        let settings = self.0.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        let tcp = TcpSettings::default().set_nodelay(true);
        self.0.clone().set_redis_settings(settings).set_tcp_settings(tcp)
    }

    /// Returns whether connections are encrypted.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.0.addr(), ConnectionAddr::TcpTls { .. })
    }
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let known = text.starts_with("redis://") || text.starts_with("rediss://");
        // The client skips the verification of certificates if the fragment asks for it.
        if !known || text.contains('#') {
            return Err(RedisUrlError);
        }
        text.into_connection_info().map(Self).map_err(|_| RedisUrlError)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.addr().fmt(f)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self}, ..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_servers_are_accepted() {
        for text in ["redis://h", "redis://h:1/2", "rediss://u:p@h:6380", "redis://:p@[::1]:7/0"] {
            assert!(text.parse::<RedisUrl>().is_ok(), "{text}");
        }
        for text in [
            "",
            "redis:",
            "redis://",
            "http://h",
            "redis://h/x",
            "unix:///s",
            "valkey://h",
            "rediss://h#insecure",
        ] {
            assert!(text.parse::<RedisUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_redacted() {
        let url: RedisUrl = "redis://someone:s3cret@host:7/1?protocol=resp3".parse().unwrap();
        assert_eq!(url.to_string(), "host:7");
        assert_eq!(format!("{url:?}"), "RedisUrl(host:7, ..)");
        assert_eq!(url.connection_info().redis_settings().protocol(), ProtocolVersion::RESP2);
        assert!(!format!("{:?}", url.connection_info()).contains("s3cret"));
    }
}
