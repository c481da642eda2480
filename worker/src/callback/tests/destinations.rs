//! Every attempt is judged by the rules of this worker, whatever rules the request was accepted under.

use std::sync::Arc;

use chargegate_core::{
    AddressPolicy, AllowedSchemes, DestinationPolicy, ForbiddenAddress, ForbiddenDestination,
};

use super::{FakeResolver, LONG, client_by, job, post};
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::HostileServer;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Rules that permit every URL to loopback.
fn permissive() -> DestinationPolicy {
    let addresses = AddressPolicy::allowing("127.0.0.0/8").unwrap();
    DestinationPolicy { ports: "1-65535".parse().unwrap(), ..addresses.into() }
}

/// Makes one attempt at `a.example` on a receiver that answers 200. Returns the result with the rule that forbids it,
/// the number of lookups and the number of connections.
async fn attempt(
    policy: DestinationPolicy,
    addresses: &[&str],
) -> (AttemptResult, Option<ForbiddenDestination>, usize, usize) {
    let peer = HostileServer::answering(OK).await;
    let resolver = Arc::new(FakeResolver::default().with("a.example", &[addresses]));
    let client = client_by(policy, &resolver, LONG);
    let response = post(&client, &job(1, &format!("http://a.example:{}/", peer.port())), None).await;
    (response.result, response.forbidden, resolver.asked().len(), peer.connections())
}

#[tokio::test]
async fn a_forbidden_url_is_blocked_before_its_name_is_looked_up() {
    let called = (AttemptResult::Answered(200), None, 1, 1);
    assert_eq!(attempt(permissive(), &["127.0.0.1"]).await, called);
    for (policy, rule) in [
        (
            DestinationPolicy { schemes: AllowedSchemes::HttpsOnly, ..permissive() },
            ForbiddenDestination::Scheme,
        ),
        (DestinationPolicy { ports: "443".parse().unwrap(), ..permissive() }, ForbiddenDestination::Port),
        (
            DestinationPolicy { hosts: "*.a.example".parse().unwrap(), ..permissive() },
            ForbiddenDestination::Host,
        ),
    ] {
        let found = attempt(policy, &["127.0.0.1"]).await;
        assert_eq!(found, (AttemptResult::Blocked, Some(rule), 0, 0));
    }
}

#[tokio::test]
async fn a_forbidden_address_of_a_name_is_blocked_with_its_rule() {
    let denying = DestinationPolicy {
        addresses: AddressPolicy { deny: "127.0.0.1".parse().unwrap(), ..permissive().addresses },
        ..permissive()
    };
    let translating = DestinationPolicy {
        addresses: AddressPolicy {
            allow: "64:ff9b::/96".parse().unwrap(),
            nat64: Some("64:ff9b::/96".parse().unwrap()),
            ..AddressPolicy::default()
        },
        ..permissive()
    };
    for (policy, address, rule) in [
        (&denying, "127.0.0.1", ForbiddenAddress::Denied),
        (&denying, "::ffff:127.0.0.1", ForbiddenAddress::Denied),
        (&permissive(), "168.63.129.16", ForbiddenAddress::Metadata),
        (&translating, "64:ff9b::7f00:1", ForbiddenAddress::SpecialPurpose("loopback")),
        (&translating, "64:ff9b::a9fe:a9fe", ForbiddenAddress::Metadata),
    ] {
        let found = attempt(policy.clone(), &[address]).await;
        let blocked = (AttemptResult::Blocked, Some(ForbiddenDestination::Address(rule)), 1, 0);
        assert_eq!(found, blocked, "{address}");
    }
    // The next address is tried.
    let called = (AttemptResult::Answered(200), None, 1, 1);
    assert_eq!(attempt(permissive(), &["168.63.129.16", "127.0.0.1"]).await, called);
}
