//! Kept connections: reuse, their end at the wrong moment, their lifetime and their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chargegate_core::DecisionStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use super::{ALLOWED, JSON, LONG, MovableName, answer, ask, ask_with, client_of, pass, settings};
use crate::authorizer::{AclCallError, HttpAuthorizer};
use chargegate_storage::testing::{HostileServer, effects, read_request};

const OK: Result<DecisionStatus, AclCallError> = Ok(DecisionStatus::Allowed);

/// Reads one request and answers it; `false` when the other side has closed.
async fn serve_one(stream: &mut TcpStream) -> bool {
    read_request(stream).await.is_some()
        && stream.write_all(answer("200 OK", JSON, ALLOWED).as_bytes()).await.is_ok()
}

/// Starts a service that closes each connection when its second request has arrived, as one does whose idle time ends
/// in that moment. The counter holds the requests that were dropped this way.
async fn closing_at_the_second_request() -> (HostileServer, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dropped);
    let peer = HostileServer::start(move |mut stream, _| {
        let dropped = Arc::clone(&counter);
        async move {
            if serve_one(&mut stream).await && read_request(&mut stream).await.is_some() {
                dropped.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (peer, dropped)
}

#[tokio::test]
async fn a_call_that_meets_the_end_of_a_kept_connection_costs_nothing() {
    let (peer, dropped) = closing_at_the_second_request().await;
    let authorizer = client_of(peer.port()).await;
    for _ in 0..40 {
        assert_eq!(ask_with(&authorizer, LONG).await, OK);
    }
    assert!(dropped.load(Ordering::SeqCst) >= 10, "the calls did not meet the end of a connection");
}

#[tokio::test]
async fn a_reset_kept_connection_costs_nothing_either() {
    let peer = HostileServer::start(async |mut stream, _| {
        if serve_one(&mut stream).await {
            // Closing with unread data sends a reset.
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
        }
    })
    .await;
    let authorizer = client_of(peer.port()).await;
    for _ in 0..40 {
        assert_eq!(ask_with(&authorizer, LONG).await, OK);
    }
}

#[tokio::test]
async fn a_call_on_a_new_connection_is_not_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let peer = HostileServer::start(move |mut stream, _| {
        let requests = Arc::clone(&counter);
        async move {
            if read_request(&mut stream).await.is_some() {
                requests.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    assert_eq!(ask(peer.port(), LONG).await, Err(AclCallError::Cut));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_is_repeated_once_at_most() {
    // The first connection answers once; from then on every request is dropped.
    let peer = HostileServer::start(async |mut stream, number| {
        if number > 0 || serve_one(&mut stream).await {
            let _ = read_request(&mut stream).await;
        }
    })
    .await;
    let authorizer = client_of(peer.port()).await;
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    assert_eq!(ask_with(&authorizer, LONG).await, Err(AclCallError::Cut));
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_repeated() {
    let peer = HostileServer::start(async |mut stream, _| {
        if serve_one(&mut stream).await && read_request(&mut stream).await.is_some() {
            let part = answer("200 OK", JSON, ALLOWED);
            let _ = stream.write_all(&part.as_bytes()[..part.len() - 1]).await;
        }
    })
    .await;
    let authorizer = client_of(peer.port()).await;
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    assert_eq!(ask_with(&authorizer, LONG).await, Err(AclCallError::Cut));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_name_that_moves_is_followed_within_a_minute() {
    let serve = async |mut stream: TcpStream, _| while serve_one(&mut stream).await {};
    let before = HostileServer::start_at(([127, 0, 0, 2], 0).into(), serve).await;
    let after = HostileServer::start_at(([127, 0, 0, 3], before.port()).into(), serve).await;
    let name = MovableName::at([127, 0, 0, 2]);
    let settings = settings(&format!("http://acl.test:{}", before.port()));
    let authorizer = HttpAuthorizer::open(settings, Arc::new(name.clone()), effects()).await.unwrap();
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    name.move_to([127, 0, 0, 3]);

    // A call each second keeps the connection from idling.
    for second in 0..60 {
        if second < 28 {
            assert_eq!((before.connections(), after.connections()), (1, 0), "after {second} s");
        }
        pass(Duration::from_secs(1)).await;
        assert_eq!(ask_with(&authorizer, LONG).await, OK);
    }
    assert_eq!(before.connections(), 1);
    assert!((1..=2).contains(&after.connections()), "{}", after.connections());
}

#[tokio::test]
async fn no_more_connections_are_kept_than_configured() {
    const CALLS: usize = 6;
    let all = Arc::new(Barrier::new(CALLS));
    let peer = HostileServer::start(move |mut stream, _| {
        let all = Arc::clone(&all);
        async move {
            while read_request(&mut stream).await.is_some() {
                all.wait().await;
                let _ = stream.write_all(answer("200 OK", JSON, ALLOWED).as_bytes()).await;
            }
        }
    })
    .await;
    let authorizer = client_of(peer.port()).await;
    for _ in 0..2 {
        let calls = (0..CALLS).map(|_| ask_with(&authorizer, LONG));
        assert_eq!(futures_util::future::join_all(calls).await, [OK; CALLS]);
    }
    // The settings of these tests keep four, so that two of the second round are new.
    assert!(peer.connections() >= CALLS + 2, "{} connections", peer.connections());
}
