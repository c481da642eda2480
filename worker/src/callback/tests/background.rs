//! Idle connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::sync::Barrier;

use super::{FakeResolver, KEPT, LONG, client, client_with, job, post};
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::{HostileServer, eventually, read_request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Starts a receiver that answers any number of requests, and counts the connections that were closed.
async fn answering() -> (HostileServer, Arc<AtomicUsize>) {
    let closed = Arc::new(AtomicUsize::new(0));
    let ends = Arc::clone(&closed);
    let peer = HostileServer::start(move |mut stream, _| {
        let ends = Arc::clone(&ends);
        async move {
            while read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(OK).await;
            }
            ends.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    (peer, closed)
}

#[tokio::test]
async fn a_connection_is_kept_from_the_second_call_on() {
    let (peer, closed) = answering().await;
    let client = client(LONG);
    let url = format!("http://127.0.0.1:{}/", peer.port());
    for (connections, closed_before) in [(1, 1), (2, 1), (2, 1), (2, 1)] {
        assert_eq!(post(&client, &job(1, &url), None).await.result, AttemptResult::Answered(200));
        assert_eq!(peer.connections(), connections);
        eventually(LONG, || closed.load(Ordering::SeqCst) == closed_before).await;
    }
}

#[tokio::test]
async fn idle_connections_are_kept_up_to_the_limit() {
    const CONCURRENT: usize = KEPT + 2;
    let (all_there, closed) = (Arc::new(Barrier::new(CONCURRENT)), Arc::new(AtomicUsize::new(0)));
    let (meeting, ends) = (Arc::clone(&all_there), Arc::clone(&closed));
    let peer = HostileServer::start(move |mut stream, _| {
        let (meeting, ends) = (Arc::clone(&meeting), Arc::clone(&ends));
        async move {
            while read_request(&mut stream).await.is_some() {
                meeting.wait().await;
                let _ = stream.write_all(OK).await;
            }
            ends.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let client = client(LONG);
    let url = format!("http://127.0.0.1:{}/", peer.port());
    for round in 1..=2 {
        let posts: Vec<_> = (0..CONCURRENT)
            .map(|_| {
                let (client, job) = (client.clone(), job(1, &url));
                tokio::spawn(async move { post(&client, &job, None).await.result })
            })
            .collect();
        for post in posts {
            assert_eq!(post.await.unwrap(), AttemptResult::Answered(200));
        }
        // Of the first round all are kept but the first, and those beyond the limit.
        eventually(LONG, || peer.connections() - closed.load(Ordering::SeqCst) == KEPT).await;
        assert!(round == 1 || peer.connections() == 2 * CONCURRENT - KEPT, "{}", peer.connections());
    }
}

#[tokio::test]
async fn the_limit_holds_over_all_receivers() {
    let (peer, closed) = answering().await;
    let mut resolver = FakeResolver::default();
    for n in 0..10 {
        resolver = resolver.with(&format!("host{n}.example"), &[&["127.0.0.1"]]);
    }
    let client = client_with("127.0.0.0/8", &Arc::new(resolver), LONG);
    for _ in 0..2 {
        for n in 0..10 {
            let url = format!("http://host{n}.example:{}/", peer.port());
            assert_eq!(post(&client, &job(1, &url), None).await.result, AttemptResult::Answered(200));
        }
    }
    eventually(LONG, || peer.connections() - closed.load(Ordering::SeqCst) == KEPT).await;
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_a_kept_connection_is_sent_once_more() {
    // Each connection answers twice, then closes as the third request comes.
    let peer = HostileServer::start(async |mut stream, _| {
        for _ in 0..2 {
            let _ = read_request(&mut stream).await;
            let _ = stream.write_all(OK).await;
        }
        let _ = read_request(&mut stream).await;
    })
    .await;
    let client = client(LONG);
    let url = format!("http://127.0.0.1:{}/", peer.port());
    for _ in 0..20 {
        assert_eq!(post(&client, &job(1, &url), None).await.result, AttemptResult::Answered(200));
    }
    assert_eq!(peer.connections(), 11);
}

#[tokio::test]
async fn a_body_without_an_end_delays_no_report() {
    let peer = HostileServer::start(async |mut stream, _| {
        let _ = read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await;
        std::future::pending::<()>().await;
    })
    .await;
    let job = job(1, &format!("http://127.0.0.1:{}/", peer.port()));
    assert_eq!(post(&client(LONG), &job, None).await.result, AttemptResult::Answered(200));
}
