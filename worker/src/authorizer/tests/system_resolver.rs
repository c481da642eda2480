//! The resolver of the system.

use std::time::Duration;

use super::super::SystemResolver;
use super::HostResolver;

/// Timeout of a look-up that must not begin.
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn localhost_has_a_loopback_address() {
    let addresses = SystemResolver::new(1).resolve("localhost").await.unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(std::net::IpAddr::is_loopback));
}

#[tokio::test]
async fn a_lookup_waits_for_a_permit() {
    let none = SystemResolver::new(0);
    assert!(tokio::time::timeout(SHORT, none.resolve("localhost")).await.is_err());
}

#[tokio::test]
async fn a_permit_is_available_again_after_each_lookup() {
    let resolver = SystemResolver::new(1);
    for _ in 0..3 {
        assert!(resolver.resolve("localhost").await.is_ok());
        assert!(resolver.resolve("no such name").await.is_err());
    }
}
