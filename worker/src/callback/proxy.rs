//! An egress proxy, for networks that have no other way to receivers (RFC 9110 sections 7.3.2 and 9.3.6).
//!
//! Names are resolved and judged by the proxy. A failure of the proxy is not one of the receiver: the callback waits.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chargegate_core::UnixMillis;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::exchange::{ExchangeError, exchange};
use crate::authorizer::{HostResolver as _, SystemResolver};
use crate::exhaustion::is_exhaustion;

/// Longest wait for a connection to the proxy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shortest time between two warnings about a proxy that fails.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);
/// Most concurrent look-ups of the proxy's name.
const MAX_LOOKUPS: usize = 4;

/// An HTTP proxy through which callbacks are sent.
pub struct CallbackProxy {
    host: Box<str>,
    port: u16,
    /// The header line with the credentials, or nothing.
    authorization: Box<str>,
    resolver: SystemResolver,
    state: Mutex<ProxyState>,
}

#[derive(Debug, Default)]
struct ProxyState {
    is_failing: bool,
    warned_at: Option<Instant>,
}

/// The text is not the URL of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the proxy as http://host:port or http://user:password@host:port")]
pub struct CallbackProxyError;

/// The reason why there is no connection through the proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFailure {
    /// The proxy cannot be reached.
    #[error("it cannot be reached")]
    Unreachable(#[source] io::Error),
    /// This process or machine has no descriptor or port left.
    #[error("this process cannot open further connections")]
    Exhausted(#[source] io::Error),
    /// It does not speak HTTP.
    #[error("it does not answer like an HTTP proxy")]
    Malformed,
    /// It asks for credentials that it has not got.
    #[error("it asks for other credentials")]
    Unauthenticated,
    /// It does not or cannot connect to the receiver.
    #[error("it answers {0} instead of connecting to the receiver")]
    Receiver(u16),
}

impl FromStr for CallbackProxy {
    type Err = CallbackProxyError;

    /// Parses `http://host:port` or `http://user:password@host:port`; user and password may be percent-encoded.
    fn from_str(text: &str) -> Result<Self, CallbackProxyError> {
        let authority = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let authority = authority.ok_or(CallbackProxyError)?;
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        let authority: http::uri::Authority = authority.parse().map_err(|_| CallbackProxyError)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().filter(|port| *port > 0).ok_or(CallbackProxyError)?;
        if host.is_empty() {
            return Err(CallbackProxyError);
        }
        let authorization = match credentials {
            None => String::new(),
            Some(credentials) => {
                let (user, password) = credentials.split_once(':').ok_or(CallbackProxyError)?;
                let mut decoded: Vec<u8> = percent_decode_str(user).collect();
                decoded.push(b':');
                decoded.extend(percent_decode_str(password));
                format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(decoded))
            }
        };
        Ok(Self {
            host: host.into(),
            port,
            authorization: authorization.into(),
            resolver: SystemResolver::new(MAX_LOOKUPS),
            state: Mutex::default(),
        })
    }
}

impl fmt::Debug for CallbackProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackProxy({}:{}, ..)", self.host, self.port)
    }
}

impl CallbackProxy {
    /// Returns the header line with the credentials, or nothing.
    pub(super) fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Connects to the proxy. Returns the connection and the address of the proxy.
    ///
    /// # Errors
    /// [`ProxyFailure`].
    pub(super) async fn connect(&self) -> Result<(TcpStream, IpAddr), ProxyFailure> {
        let connecting = async {
            let addresses = match self.host.parse() {
                Ok(address) => vec![address],
                Err(_) => self.resolver.resolve(&self.host).await?,
            };
            let mut failure = io::Error::from(io::ErrorKind::NotFound);
            // Each address has its part of the time, so that one that does not answer hides no other.
            let part = CONNECT_TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
            for address in addresses {
                let connecting = TcpStream::connect(SocketAddr::new(address, self.port));
                match timeout(part, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                {
                    Ok(stream) => return Ok((stream, address)),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        };
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        let (stream, address) =
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
                if is_exhaustion(&error) {
                    ProxyFailure::Exhausted(error)
                } else {
                    ProxyFailure::Unreachable(error)
                }
            })?;
        stream.set_nodelay(true).map_err(ProxyFailure::Unreachable)?;
        Ok((stream, address))
    }

    /// Asks the proxy for a tunnel to `authority`, which is a host and a port.
    ///
    /// # Errors
    /// [`ProxyFailure`].
    pub(super) async fn open_tunnel(
        &self,
        stream: &mut TcpStream,
        authority: &str,
        now: UnixMillis,
    ) -> Result<(), ProxyFailure> {
        let request = format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}User-Agent: {}\r\n\r\n",
            self.authorization,
            super::USER_AGENT,
        );
        let (head, body) = exchange(stream, request.as_bytes(), now).await.map_err(|error| match error {
            ExchangeError::NoResponse(error) => ProxyFailure::Unreachable(error),
            ExchangeError::Malformed => ProxyFailure::Malformed,
        })?;
        match head.status {
            // The receiver does not speak first (RFC 8446 section 2).
            200..=299 if body.is_empty() => Ok(()),
            200..=299 => Err(ProxyFailure::Malformed),
            _ if head.asks_proxy_credentials => Err(ProxyFailure::Unauthenticated),
            // Proxies use many statuses for receivers that they do not reach, and for those that their rules forbid.
            status => Err(ProxyFailure::Receiver(status)),
        }
    }

    /// Notes that the proxy has served an attempt.
    pub(super) fn note_success(&self) {
        self.state.lock().is_failing = false;
    }

    /// Notes that the proxy has not served an attempt. Logs the first of several failures, at most once a minute.
    pub(super) fn note_failure(&self, failure: &ProxyFailure) {
        let mut state = self.state.lock();
        let has_warned = state.warned_at.is_some_and(|warned_at| warned_at.elapsed() < WARNING_INTERVAL);
        if !std::mem::replace(&mut state.is_failing, true) && !has_warned {
            state.warned_at = Some(Instant::now());
            let cause = std::error::Error::source(failure).map(tracing::field::display);
            warn!(proxy = ?self, %failure, cause, "the proxy of callbacks fails; callbacks wait");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_with_a_port() {
        let check = |text: &str, host: &str, port: u16, authorization: &str| {
            let proxy: CallbackProxy = text.parse().unwrap();
            assert_eq!((&*proxy.host, proxy.port, &*proxy.authorization), (host, port, authorization));
        };
        check("http://proxy.internal:3128", "proxy.internal", 3128, "");
        check("http://10.0.0.1:80/", "10.0.0.1", 80, "");
        check("http://[fd00::1]:3128", "fd00::1", 3128, "");
        // RFC 7617 section 2.
        let expected = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        check("http://Aladdin:open%20sesame@proxy:1", "proxy", 1, expected);
        for text in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy",
            "http://:3128",
            "http://proxy:0",
            "http://proxy:3128/path",
            "http://user@proxy:3128",
            "http://pro xy:3128",
        ] {
            assert_eq!(text.parse::<CallbackProxy>().unwrap_err(), CallbackProxyError, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_credentials() {
        let proxy: CallbackProxy = "http://user:secret@proxy:1".parse().unwrap();
        assert_eq!(format!("{proxy:?}"), "CallbackProxy(proxy:1, ..)");
    }
}
