//! Look-ups of host names, bounded in time and number, so that names which resolve slowly delay no others.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, Shared, select};
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::exhaustion::is_exhaustion;
use chargegate_storage::store::LookupFailure;

/// Longest duration of a look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(2500);
/// Longest wait for one answer of a name server; a second server or a second query follows.
const QUERY_TIMEOUT: Duration = Duration::from_millis(1200);
/// Longest wait for the other family after the first has an address (RFC 8305 section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// Most names whose addresses are kept.
const MAX_KNOWN_NAMES: usize = 8192;
/// Most answers in the cache.
const CACHED_ANSWERS: u64 = 8192;
/// Longest time for which an answer is cached, whatever its time to live.
const MAX_POSITIVE_TTL: Duration = Duration::from_mins(10);
/// Longest time for which it is cached that a name does not exist.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// Most look-ups in progress, each with up to two sockets at a time.
const MAX_LOOKUPS: usize = 256;
/// Most look-ups in progress for names of one registrable domain, whose name servers its owner controls.
const MAX_LOOKUPS_OF_DOMAIN: usize = 8;

/// The reason why a name yields no address.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum LookupError {
    /// Too many look-ups are in progress; none was begun.
    #[error("too many look-ups are in progress")]
    Busy,
    /// The look-up failed.
    #[error("the name does not resolve: {}", .0.as_str())]
    Failed(LookupFailure),
}

/// Resolver of host names.
#[async_trait]
pub trait ReceiverResolver: Send + Sync {
    /// Returns all addresses of `name`, at least one.
    ///
    /// # Errors
    /// [`LookupError`].
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError>;
}

/// Resolver that asks name servers itself, with a cache. Names are absolute: no search domain is added.
///
/// The attempts for one name share a look-up, and names in the cache need none.
pub struct DnsResolver {
    state: Arc<ResolverState>,
}

struct ResolverState {
    ipv4: TokioResolver,
    ipv6: TokioResolver,
    limits: Arc<LookupLimits>,
    names: Mutex<KnownNames>,
}

/// Names with known addresses, and those that are being looked up.
#[derive(Default)]
struct KnownNames {
    found: HashMap<Box<str>, FoundName>,
    in_progress: HashMap<Box<str>, SharedLookup>,
}

/// The addresses of a name, and the end of their validity.
struct FoundName {
    addresses: Arc<[IpAddr]>,
    valid_until: Instant,
}

type SharedLookup = Shared<BoxFuture<'static, Result<Arc<[IpAddr]>, LookupError>>>;

/// The configuration of the system's resolver cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of the system cannot be read")]
pub struct DnsResolverError(#[source] NetError);

impl DnsResolver {
    /// Creates a resolver with the system's name servers and its file of hosts.
    ///
    /// # Errors
    /// [`DnsResolverError`].
    pub fn system() -> Result<Self, DnsResolverError> {
        Self::build(TokioResolver::builder_tokio)
    }

    /// Creates a resolver that asks these name servers.
    ///
    /// # Errors
    /// [`DnsResolverError`].
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, DnsResolverError> {
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
        Self::build(|| {
            Ok(TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default()))
        })
    }

    fn build(
        builder: impl Fn() -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError>,
    ) -> Result<Self, DnsResolverError> {
        let of_family = |strategy| {
            let mut builder = builder()?;
            set_options(builder.options_mut(), strategy);
            builder.build()
        };
        let state = ResolverState {
            ipv4: of_family(LookupIpStrategy::Ipv4Only).map_err(DnsResolverError)?,
            ipv6: of_family(LookupIpStrategy::Ipv6Only).map_err(DnsResolverError)?,
            limits: Arc::new(LookupLimits::new(MAX_LOOKUPS, MAX_LOOKUPS_OF_DOMAIN)),
            names: Mutex::default(),
        };
        Ok(Self { state: Arc::new(state) })
    }
}

fn set_options(options: &mut ResolverOpts, strategy: LookupIpStrategy) {
    options.timeout = QUERY_TIMEOUT;
    // One more query after the first.
    options.attempts = 1;
    options.ip_strategy = strategy;
    options.cache_size = CACHED_ANSWERS;
    options.positive_max_ttl = Some(MAX_POSITIVE_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.max_active_requests = MAX_LOOKUPS;
}

#[async_trait]
impl ReceiverResolver for DnsResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        // RFC 6761 section 6.3: `localhost` is not looked up.
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let lookup = {
            let mut names = self.state.names.lock();
            let known = names.found.get(name).filter(|known| Instant::now() < known.valid_until);
            if let Some(known) = known {
                return Ok(known.addresses.to_vec());
            }
            if let Some(lookup) = names.in_progress.get(name) {
                lookup.clone()
            } else {
                let permit = self.state.limits.try_acquire(name).ok_or(LookupError::Busy)?;
                let lookup = tokio::spawn(Arc::clone(&self.state).look_up(name.into(), permit));
                let (state, failed_name) = (Arc::clone(&self.state), Box::<str>::from(name));
                let failed = move |_| {
                    state.names.lock().in_progress.remove(&failed_name);
                    Err(LookupError::Failed(LookupFailure::ServerFailed))
                };
                let lookup = lookup.map(move |ended| ended.unwrap_or_else(failed)).boxed().shared();
                names.in_progress.insert(name.into(), lookup.clone());
                lookup
            }
        };
        Ok(lookup.await?.to_vec())
    }
}

impl ResolverState {
    /// Looks a name up and keeps its addresses.
    async fn look_up(
        self: Arc<Self>,
        name: Box<str>,
        permit: LookupPermit,
    ) -> Result<Arc<[IpAddr]>, LookupError> {
        let absolute = format!("{name}.");
        let (ipv4, ipv6) = (self.ipv4.lookup_ip(absolute.as_str()), self.ipv6.lookup_ip(absolute.as_str()));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, either_or_both(ipv4, ipv6)).await;
        let found = found.unwrap_or(Err(NetError::Timeout)).map_err(|error| classify(&error));
        drop(permit);
        let mut names = self.names.lock();
        names.in_progress.remove(&name);
        let found = found?;
        let addresses: Arc<[IpAddr]> = found.iter().flat_map(LookupIp::iter).collect();
        if addresses.is_empty() {
            return Err(LookupError::Failed(LookupFailure::NoAddress));
        }
        let now = Instant::now();
        if names.found.len() >= MAX_KNOWN_NAMES {
            names.found.retain(|_, known| now < known.valid_until);
        }
        if names.found.len() >= MAX_KNOWN_NAMES {
            names.found.clear();
        }
        // The shortest validity of both families, of which the longer one is in the resolver's own cache.
        let valid_until = found.iter().map(|found| Instant::from_std(found.valid_until())).min();
        let valid_until = valid_until.unwrap_or(now).min(now + MAX_POSITIVE_TTL);
        names.found.insert(name, FoundName { addresses: Arc::clone(&addresses), valid_until });
        Ok(addresses)
    }
}

/// Waits for the addresses of both families, but for those of the second only briefly once the first has some.
async fn either_or_both<F>(
    ipv4: F,
    ipv6: impl Future<Output = F::Output> + Send,
) -> Result<Vec<LookupIp>, NetError>
where
    F: Future<Output = Result<LookupIp, NetError>> + Send,
{
    let (first, other) = select(ipv4.boxed(), ipv6.boxed()).await.factor_first();
    let other = match other {
        Either::Left(other) | Either::Right(other) => other,
    };
    match first {
        Ok(first) => {
            let other = tokio::time::timeout(RESOLUTION_DELAY, other).await;
            Ok(std::iter::once(first).chain(other.ok().and_then(Result::ok)).collect())
        }
        Err(first) => match other.await {
            Ok(other) => Ok(vec![other]),
            // That the name has no address of one family says less than that the other is not known.
            Err(other) if other.is_no_records_found() => Err(first),
            Err(other) => Err(other),
        },
    }
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DnsResolver(..)")
    }
}

fn classify(error: &NetError) -> LookupError {
    LookupError::Failed(match error {
        NetError::Io(error) if is_exhaustion(error) => return LookupError::Busy,
        NetError::Timeout => LookupFailure::TimedOut,
        _ if error.is_no_records_found() => LookupFailure::NoAddress,
        _ => LookupFailure::ServerFailed,
    })
}

/// Limits of concurrent look-ups, in all and for each registrable domain.
#[derive(Debug)]
struct LookupLimits {
    total: usize,
    per_domain: usize,
    in_progress: Mutex<LookupsInProgress>,
}

#[derive(Debug, Default)]
struct LookupsInProgress {
    total: usize,
    by_domain: HashMap<Box<str>, usize>,
}

/// Permission for one look-up, returned on drop.
#[derive(Debug)]
struct LookupPermit {
    limits: Arc<LookupLimits>,
    domain: Box<str>,
}

impl LookupLimits {
    fn new(total: usize, per_domain: usize) -> Self {
        Self { total, per_domain, in_progress: Mutex::default() }
    }

    fn try_acquire(self: &Arc<Self>, name: &str) -> Option<LookupPermit> {
        let domain: Box<str> = psl::domain_str(name).unwrap_or(name).into();
        let mut in_progress = self.in_progress.lock();
        let of_domain = in_progress.by_domain.get(&domain).copied().unwrap_or(0);
        if in_progress.total >= self.total || of_domain >= self.per_domain {
            return None;
        }
        in_progress.total += 1;
        in_progress.by_domain.insert(domain.clone(), of_domain + 1);
        Some(LookupPermit { limits: Arc::clone(self), domain })
    }
}

impl Drop for LookupPermit {
    fn drop(&mut self) {
        let mut in_progress = self.limits.in_progress.lock();
        in_progress.total = in_progress.total.saturating_sub(1);
        if let Some(count) = in_progress.by_domain.get_mut(&self.domain) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                in_progress.by_domain.remove(&self.domain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_are_limited_in_all_and_for_each_registrable_domain() {
        let limits = Arc::new(LookupLimits::new(3, 2));
        let first = limits.try_acquire("a.shop.example.co.uk").unwrap();
        let _second = limits.try_acquire("b.example.co.uk").unwrap();
        assert!(limits.try_acquire("example.co.uk").is_none(), "two of one domain");
        let _third = limits.try_acquire("other.co.uk").unwrap();
        assert!(limits.try_acquire("more.example").is_none(), "three in all");
        drop(first);
        assert!(limits.try_acquire("c.example.co.uk").is_some());
        assert_eq!(limits.in_progress.lock().total, 2);
    }
}
