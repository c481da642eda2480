//! Connections to receivers. Every address, literal or resolved, is judged here, just before the connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{
    CallbackHost, CallbackScheme, CallbackUrl, DestinationPolicy, ForbiddenAddress, UnixMillis,
};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::proxy::{CallbackProxy, ProxyFailure};
use super::receivers::{AddressPermit, HostPermit, Refusal};
use crate::exhaustion::is_exhaustion;

/// Longest wait for the connection to one address of a name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time after which the next address is tried beside the earlier ones (RFC 8305 section 5).
const CONNECT_STAGGER: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// A connection to a receiver, with TLS for `https`.
pub(super) type ReceiverStream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection and the permit of its address.
pub(super) struct ReceiverConnection {
    pub(super) stream: ReceiverStream,
    pub(super) address: IpAddr,
    /// None for a connection to a proxy.
    pub(super) permit: Option<AddressPermit>,
}

/// Failure to connect to a receiver.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Every address of the host is forbidden.
    #[error("every address is forbidden")]
    Blocked(#[source] ForbiddenAddress),
    /// No address accepted the connection, or TLS failed.
    #[error("the receiver cannot be reached")]
    Unreachable(#[source] io::Error),
    /// No connection was begun: no address admits one now.
    #[error("no address admits an attempt now")]
    Refused(Refusal),
    /// This process or machine has no descriptor, port or route.
    #[error("this process cannot open further connections")]
    Exhausted(#[source] io::Error),
    /// The proxy does not serve this worker.
    #[error("the proxy fails")]
    Proxy(#[source] ProxyFailure),
}

impl From<ProxyFailure> for ConnectError {
    fn from(failure: ProxyFailure) -> Self {
        match failure {
            ProxyFailure::Receiver(_) => Self::Unreachable(io::Error::other(failure)),
            ProxyFailure::Exhausted(error) => Self::Exhausted(error),
            failure => Self::Proxy(failure),
        }
    }
}

/// Connector to receivers whose addresses the policy permits.
#[derive(Clone)]
pub(super) struct ReceiverConnector {
    policy: Arc<DestinationPolicy>,
    tls: TlsConnector,
}

impl ReceiverConnector {
    pub(super) fn new(policy: Arc<DestinationPolicy>, tls: TlsConnector) -> Self {
        Self { policy, tls }
    }

    /// Connects to one of the addresses of the host of `url`, for which `permit` was acquired.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn connect(
        &self,
        url: &CallbackUrl,
        addresses: &[IpAddr],
        permit: &HostPermit,
    ) -> Result<ReceiverConnection, ConnectError> {
        let (stream, address, permit) = self.connect_any(addresses, url.port(), permit).await?;
        let stream = self.secure(url, stream).await?;
        Ok(ReceiverConnection { stream, address, permit: Some(permit) })
    }

    /// Connects to the host of `url` through a proxy: to the proxy itself for `http`, by a tunnel for `https`. `now` is the
    /// time of the attempt.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn connect_through(
        &self,
        proxy: &CallbackProxy,
        url: &CallbackUrl,
        now: UnixMillis,
    ) -> Result<ReceiverConnection, ConnectError> {
        let (mut stream, address) = proxy.connect().await?;
        if url.scheme() == CallbackScheme::Https {
            let authority = format!("{}:{}", url.host_str(), url.port());
            proxy.open_tunnel(&mut stream, &authority, now).await?;
        }
        let stream = self.secure(url, stream).await?;
        Ok(ReceiverConnection { stream, address, permit: None })
    }

    /// Adds TLS to a connection, if `url` asks for it.
    async fn secure(&self, url: &CallbackUrl, stream: TcpStream) -> Result<ReceiverStream, ConnectError> {
        match url.scheme() {
            CallbackScheme::Http => Ok(Either::Left(stream)),
            CallbackScheme::Https => {
                let connected = self.tls.connect(server_name(url)?, stream).await;
                Ok(Either::Right(Box::new(connected.map_err(ConnectError::Unreachable)?)))
            }
        }
    }

    /// Connects to the first address that accepts. Further addresses are tried beside those that have not answered soon
    /// ("Happy Eyeballs", RFC 8305), alternating between the address families.
    async fn connect_any(
        &self,
        addresses: &[IpAddr],
        port: u16,
        host: &HostPermit,
    ) -> Result<(TcpStream, IpAddr, AddressPermit), ConnectError> {
        let mut failure = None;
        let permitted = addresses.iter().filter(|address| match self.policy.judge_address(**address) {
            Ok(()) => true,
            Err(forbidden) => {
                failure = Some(ConnectError::Blocked(forbidden));
                false
            }
        });
        let permitted: Vec<IpAddr> = permitted.copied().collect();
        let mut waiting = alternate_families(&permitted).into_iter().take(MAX_ADDRESSES);
        let mut connecting = FuturesUnordered::new();
        loop {
            let next = waiting.next();
            let has_next = next.is_some();
            if let Some(address) = next {
                let mut permit = match host.try_address(address, !connecting.is_empty()) {
                    Ok(permit) => permit,
                    Err(refusal) => {
                        failure = Some(ConnectError::Refused(refusal).or_earlier(failure));
                        continue;
                    }
                };
                connecting.push(async move {
                    let opened = self.open(SocketAddr::new(address, port)).await;
                    match &opened {
                        Ok(_) => permit.record_connected(),
                        Err(ConnectError::Unreachable(error)) if !is_unrouted(error) => {
                            permit.record_unconnected();
                        }
                        Err(_) => {}
                    }
                    opened.map(|stream| (stream, address, permit))
                });
            }
            let stagger = async {
                if has_next {
                    tokio::time::sleep(CONNECT_STAGGER).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = connecting.next() => match ended {
                    Some(Ok(connected)) => return Ok(connected),
                    Some(Err(error)) => failure = Some(error.or_earlier(failure)),
                    None if !has_next => break,
                    None => {}
                },
                () = stagger => {}
            }
        }
        Err(failure.unwrap_or_else(|| ConnectError::Unreachable(io::ErrorKind::AddrNotAvailable.into())))
    }

    async fn open(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| failure_of(error, address.ip()))?;
        // A second line of defence: judges the address of the connected peer.
        let peer = stream.peer_addr().map_err(ConnectError::Unreachable)?;
        self.policy.judge_address(peer.ip()).map_err(ConnectError::Blocked)?;
        stream.set_nodelay(true).map_err(ConnectError::Unreachable)?;
        Ok(stream)
    }
}

impl ConnectError {
    /// Returns the failure that counts: one of our own is not charged to the receiver, and an address that was tried says
    /// more than one that was not.
    fn or_earlier(self, earlier: Option<Self>) -> Self {
        let rank = |error: &Self| match error {
            Self::Blocked(_) => 0,
            Self::Refused(Refusal::Unavailable(_)) => 1,
            Self::Unreachable(_) | Self::Proxy(_) => 2,
            Self::Refused(Refusal::Full) => 3,
            Self::Exhausted(_) => 4,
        };
        match earlier {
            Some(earlier) if rank(&earlier) > rank(&self) => earlier,
            _ => self,
        }
    }
}

/// Returns the failure of a connection attempt. Descriptors, local ports and routes are not the receiver's to provide.
///
/// A machine without IPv6 has neither a route nor an address of its own for it: then the receiver cannot be reached.
fn failure_of(error: io::Error, address: IpAddr) -> ConnectError {
    let is_own = is_exhaustion(&error) || is_unrouted(&error);
    if is_own && !(address.is_ipv6() && is_unrouted(&error)) {
        ConnectError::Exhausted(error)
    } else {
        ConnectError::Unreachable(error)
    }
}

/// Returns whether this machine has no way to an address.
fn is_unrouted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
}

/// Returns the addresses in turns of IPv6 and IPv4, beginning with the family of the first.
fn alternate_families(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first_is_v6);
    one.reverse();
    other.reverse();
    let mut ordered = Vec::with_capacity(addresses.len());
    while !(one.is_empty() && other.is_empty()) {
        ordered.extend(one.pop());
        ordered.extend(other.pop());
    }
    ordered
}

fn server_name(url: &CallbackUrl) -> Result<ServerName<'static>, ConnectError> {
    match url.host() {
        CallbackHost::Address(address) => Ok(ServerName::IpAddress(address.into())),
        // A name with an underscore has no valid certificate.
        CallbackHost::Name(name) => ServerName::try_from(name.to_owned())
            .map_err(|error| ConnectError::Unreachable(io::Error::new(io::ErrorKind::InvalidInput, error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_this_machine_is_not_one_of_the_receiver() {
        let (ipv4, ipv6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        for kind in [io::ErrorKind::AddrNotAvailable, io::ErrorKind::NetworkUnreachable] {
            assert!(is_unrouted(&kind.into()), "{kind}");
            assert!(matches!(failure_of(kind.into(), ipv4), ConnectError::Exhausted(_)), "{kind}");
            // Machines without IPv6 are common.
            assert!(matches!(failure_of(kind.into(), ipv6), ConnectError::Unreachable(_)), "{kind}");
        }
        for address in [ipv4, ipv6] {
            let no_descriptor = io::Error::from_raw_os_error(24);
            assert!(matches!(failure_of(no_descriptor, address), ConnectError::Exhausted(_)));
            let refused = io::ErrorKind::ConnectionRefused;
            assert!(!is_unrouted(&refused.into()));
            assert!(matches!(failure_of(refused.into(), address), ConnectError::Unreachable(_)));
        }
    }

    #[test]
    fn a_limit_of_our_own_counts_before_the_failure_of_another_address() {
        let unreachable = || ConnectError::Unreachable(io::ErrorKind::ConnectionRefused.into());
        let check = |one: fn() -> ConnectError, is_expected: fn(&ConnectError) -> bool| {
            assert!(is_expected(&one().or_earlier(Some(unreachable()))));
            assert!(is_expected(&unreachable().or_earlier(Some(one()))));
        };
        check(
            || ConnectError::Refused(Refusal::Full),
            |error| matches!(error, ConnectError::Refused(Refusal::Full)),
        );
        check(
            || ConnectError::Exhausted(io::ErrorKind::Other.into()),
            |error| matches!(error, ConnectError::Exhausted(_)),
        );
        check(
            || ConnectError::Refused(Refusal::Unavailable(Duration::ZERO)),
            |error| matches!(error, ConnectError::Unreachable(_)),
        );
    }

    #[test]
    fn addresses_alternate_between_the_families() {
        let check = |addresses: &[&str], expected: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let ordered: Vec<String> = alternate_families(&addresses).iter().map(IpAddr::to_string).collect();
            assert_eq!(ordered, expected);
        };
        check(&[], &[]);
        check(&["1.1.1.1", "2.2.2.2"], &["1.1.1.1", "2.2.2.2"]);
        check(&["1.1.1.1", "2.2.2.2", "::1", "::2", "::3"], &["1.1.1.1", "::1", "2.2.2.2", "::2", "::3"]);
        check(&["::1", "1.1.1.1"], &["::1", "1.1.1.1"]);
    }
}
