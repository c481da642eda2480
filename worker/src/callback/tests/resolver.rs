//! Look-ups by a DNS server.

use std::net::IpAddr;

use super::dns::{DnsAnswer, DnsServer};
use super::{LookupError, ReceiverResolver};
use crate::callback::resolver::DnsResolver;
use chargegate_storage::store::LookupFailure;

async fn resolve(answer: DnsAnswer) -> Result<Vec<IpAddr>, LookupError> {
    let dns = DnsServer::start(move |_| answer).await;
    DnsResolver::with_servers(&[dns.address()]).unwrap().resolve("a.example").await
}

#[tokio::test]
async fn a_name_has_the_addresses_of_the_answer() {
    assert_eq!(resolve(DnsAnswer::Address([192, 0, 2, 7])).await.unwrap(), [IpAddr::from([192, 0, 2, 7])]);
}

#[tokio::test]
async fn silence_about_one_family_hides_no_address_of_the_other() {
    assert_eq!(
        resolve(DnsAnswer::AddressOnly([192, 0, 2, 7])).await.unwrap(),
        [IpAddr::from([192, 0, 2, 7])]
    );
}

#[tokio::test]
async fn attempts_for_one_name_share_a_lookup() {
    let dns = DnsServer::start(|_| DnsAnswer::Address([192, 0, 2, 7])).await;
    let resolver = DnsResolver::with_servers(&[dns.address()]).unwrap();
    // More than may be in progress for one domain.
    let lookups: Vec<_> = (0..100).map(|_| resolver.resolve("a.example")).collect();
    for found in futures_util::future::join_all(lookups).await {
        assert_eq!(found.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_failure_has_its_cause() {
    for (answer, failure) in [
        (DnsAnswer::NoName, LookupFailure::NoAddress),
        (DnsAnswer::Failure, LookupFailure::ServerFailed),
        (DnsAnswer::Silence, LookupFailure::TimedOut),
    ] {
        let failed = resolve(answer).await;
        assert!(matches!(&failed, Err(LookupError::Failed(found)) if *found == failure), "{failed:?}");
    }
}

#[tokio::test]
async fn localhost_is_not_looked_up() {
    let dns = DnsServer::start(|_| DnsAnswer::NoName).await;
    let resolver = DnsResolver::with_servers(&[dns.address()]).unwrap();
    assert!(resolver.resolve("localhost").await.unwrap()[0].is_loopback());
}

#[tokio::test]
async fn the_names_of_this_machine_are_known() {
    assert!(DnsResolver::system().is_ok());
}
