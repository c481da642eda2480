//! Addresses are checked when connecting, whether literal or resolved.

use std::sync::Arc;

use super::{FakeResolver, LONG, client_with, job, post};
use chargegate_storage::store::{AttemptResult, LookupFailure};
use chargegate_storage::testing::HostileServer;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Makes one attempt at `host`, at the port of a receiver on 127.0.0.1 that answers 200; returns the result, the
/// number of connections to the receiver, and the names that were resolved.
async fn attempt(host: &str, allowed: &str, resolver: FakeResolver) -> (AttemptResult, usize, Vec<String>) {
    let peer = HostileServer::answering(OK).await;
    let resolver = Arc::new(resolver);
    let client = client_with(allowed, &resolver, LONG);
    let result = post(&client, &job(1, &format!("http://{host}:{}/", peer.port())), None).await.result;
    (result, peer.connections(), resolver.asked())
}

#[tokio::test]
async fn a_forbidden_literal_is_blocked_before_any_connection() {
    for host in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
        let found = attempt(host, "", FakeResolver::default()).await;
        assert_eq!(found, (AttemptResult::Blocked, 0, vec![]), "{host}");
    }
}

#[tokio::test]
async fn an_allowed_literal_is_called_and_never_looked_up() {
    let found = attempt("127.0.0.1", "127.0.0.1", FakeResolver::default()).await;
    assert_eq!(found, (AttemptResult::Answered(200), 1, vec![]));
}

#[tokio::test]
async fn a_name_with_only_forbidden_addresses_is_blocked() {
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fd00::1"] {
        let resolver = FakeResolver::default().with("a.example", &[&[address]]);
        let found = attempt("a.example", "", resolver).await;
        assert_eq!(found, (AttemptResult::Blocked, 0, vec!["a.example".to_owned()]), "{address}");
    }
    let resolver = FakeResolver::default().with("a.example", &[&["127.0.0.1", "::1", "10.0.0.1"]]);
    assert_eq!(attempt("a.example", "", resolver).await.0, AttemptResult::Blocked);
}

#[tokio::test]
async fn only_the_allowed_address_of_a_name_is_called() {
    for addresses in [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]] {
        let allowed = HostileServer::answering(OK).await;
        let forbidden =
            HostileServer::start_at(([127, 0, 0, 2], allowed.port()).into(), async |_, _| ()).await;
        let resolver = Arc::new(FakeResolver::default().with("a.example", &[&addresses]));
        let client = client_with("127.0.0.1", &resolver, LONG);
        let url = format!("http://a.example:{}/", allowed.port());
        assert_eq!(post(&client, &job(1, &url), None).await.result, AttemptResult::Answered(200));
        assert_eq!((allowed.connections(), forbidden.connections()), (1, 0), "{addresses:?}");
    }
}

#[tokio::test]
async fn the_next_address_is_tried_after_a_refused_connection() {
    let resolver = FakeResolver::default().with("a.example", &[&["127.0.0.9", "127.0.0.1"]]);
    assert_eq!(attempt("a.example", "127.0.0.0/8", resolver).await.0, AttemptResult::Answered(200));
}

#[tokio::test]
async fn a_name_without_addresses_is_unresolved() {
    let found = attempt("nowhere.example", "127.0.0.0/8", FakeResolver::default()).await;
    assert_eq!((found.0, found.1), (AttemptResult::Unresolved(LookupFailure::NoAddress), 0));
    let empty = FakeResolver::default().with("a.example", &[&[]]);
    assert_eq!(
        attempt("a.example", "127.0.0.0/8", empty).await.0,
        AttemptResult::Unresolved(LookupFailure::NoAddress)
    );
}

#[tokio::test]
async fn a_name_that_resolves_differently_is_checked_again() {
    let allowed = HostileServer::answering(OK).await;
    let forbidden = HostileServer::start_at(([127, 0, 0, 2], allowed.port()).into(), async |_, _| ()).await;
    let answers: [&[&str]; 3] = [&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1"]];
    let resolver = Arc::new(FakeResolver::default().with("a.example", &answers));
    let client = client_with("127.0.0.1", &resolver, LONG);
    let url = format!("http://a.example:{}/", allowed.port());
    let mut results = Vec::new();
    for n in 1..=3 {
        results.push(post(&client, &job(n, &url), None).await.result);
    }
    assert_eq!(results, [AttemptResult::Answered(200), AttemptResult::Blocked, AttemptResult::Answered(200)]);
    assert_eq!((allowed.connections(), forbidden.connections()), (2, 0));
}

#[tokio::test]
async fn two_names_never_share_a_connection() {
    // The second name may have other addresses, so it must not use the open connection of the first.
    let peer = HostileServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let resolver = FakeResolver::default().with("a.example", &[&["127.0.0.1"]]);
    let resolver = Arc::new(resolver.with("b.example", &[&["10.0.0.1"]]));
    let client = client_with("127.0.0.1", &resolver, LONG);
    let (a, b) = (format!("http://a.example:{}/", peer.port()), format!("http://b.example:{}/", peer.port()));
    assert_eq!(post(&client, &job(1, &a), None).await.result, AttemptResult::Answered(200));
    assert_eq!(post(&client, &job(2, &b), None).await.result, AttemptResult::Blocked);
}
