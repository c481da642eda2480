//! Connections without an attempt: connection attempts that are no longer needed, and idle connections.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::AddressPolicy;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Barrier, Notify, mpsc};

use super::{CallbackClient, HostResolver, KEPT, LONG, client, job};
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::{HostileServer, eventually, read_request};

/// Answers the first lookup; the others never end, and report when they are dropped.
struct OnceResolver {
    asked: AtomicUsize,
    given_up: mpsc::UnboundedSender<()>,
}

struct NotifyOnDrop(mpsc::UnboundedSender<()>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[async_trait]
impl HostResolver for OnceResolver {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        if self.asked.fetch_add(1, Ordering::SeqCst) > 0 {
            let _given_up = NotifyOnDrop(self.given_up.clone());
            return std::future::pending().await;
        }
        Ok(vec![[127, 0, 0, 1].into()])
    }
}

#[tokio::test]
async fn a_connection_attempt_that_is_no_longer_needed_ends() {
    let answer = Arc::new(Notify::new());
    let wait = Arc::clone(&answer);
    let peer = HostileServer::start(move |mut stream, _| {
        let wait = Arc::clone(&wait);
        async move {
            while read_request(&mut stream).await.is_some() {
                wait.notified().await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let (given_up, mut abandoned) = mpsc::unbounded_channel();
    let resolver = Arc::new(OnceResolver { asked: AtomicUsize::new(0), given_up });
    let client = CallbackClient::new(
        AddressPolicy::allowing("127.0.0.1").unwrap().into(),
        resolver.clone(),
        Duration::from_secs(2),
        KEPT,
    )
    .unwrap();
    let url = format!("http://a.example:{}/", peer.port());
    let post = |n| {
        let (client, job) = (client.clone(), job(n, &url));
        tokio::spawn(async move { client.post(&job, None).await.result })
    };

    let first = post(1);
    eventually(LONG, || peer.connections() == 1).await;
    let second = post(2);
    eventually(LONG, || resolver.asked.load(Ordering::SeqCst) == 2).await;
    answer.notify_one();
    assert_eq!(first.await.unwrap(), AttemptResult::Answered(200));
    answer.notify_one();
    assert_eq!(second.await.unwrap(), AttemptResult::Answered(200), "over the connection of the first");
    tokio::time::timeout(LONG, abandoned.recv())
        .await
        .expect("the second connection attempt did not end")
        .unwrap();
}

#[tokio::test]
async fn idle_connections_are_kept_up_to_the_limit() {
    const AT_ONCE: usize = KEPT + 2;
    let (all_there, closed) = (Arc::new(Barrier::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
    let (meeting, ends) = (Arc::clone(&all_there), Arc::clone(&closed));
    let peer = HostileServer::start(move |mut stream, _| {
        let (meeting, ends) = (Arc::clone(&meeting), Arc::clone(&ends));
        async move {
            while read_request(&mut stream).await.is_some() {
                meeting.wait().await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            ends.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let client = client(LONG);
    let url = format!("http://127.0.0.1:{}/", peer.port());
    let posts: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (client, job) = (client.clone(), job(1, &url));
            tokio::spawn(async move { client.post(&job, None).await.result })
        })
        .collect();
    for post in posts {
        assert_eq!(post.await.unwrap(), AttemptResult::Answered(200));
    }
    assert_eq!(peer.connections(), AT_ONCE);
    eventually(LONG, || closed.load(Ordering::SeqCst) == AT_ONCE - KEPT).await;
}
