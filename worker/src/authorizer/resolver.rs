//! Resolution of the service's name.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// Resolver of host names.
#[async_trait]
pub trait HostResolver: Send + Sync {
    /// Returns all addresses of `name`.
    ///
    /// # Errors
    /// [`io::Error`] when there are none.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver, with a bounded number of concurrent look-ups.
///
/// A look-up blocks a thread, and continues when its caller has given up. The permit is held until the look-up itself
/// ends, so that names which never resolve cannot exhaust the threads.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl SystemResolver {
    /// Creates a resolver with at most `lookups` concurrent look-ups.
    #[must_use]
    pub fn new(lookups: usize) -> Self {
        Self { lookups: Arc::new(Semaphore::new(lookups)) }
    }
}

#[async_trait]
impl HostResolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let target = (name.to_owned(), 0_u16);
        let lookup = tokio::task::spawn_blocking(move || {
            let found = target.to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
            drop(permit);
            found
        });
        lookup.await.map_err(io::Error::other)?
    }
}
