//! Receivers that refuse, hang, or send endless or malformed responses.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{LONG, SHORT, client, job, post};
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::{HostileServer, read_request};

/// Generous bound of the bytes that sockets and client buffer; without a cap, a peer sends gigabytes before the
/// deadline.
const BUFFER_BOUND: usize = 64 * 1024 * 1024;

/// Time after which a test whose deadline does not work fails instead of hanging.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);

async fn post_to(port: u16, deadline: Duration) -> AttemptResult {
    let (client, job) = (client(deadline), job(1, &format!("http://127.0.0.1:{port}/")));
    let attempt = tokio::time::timeout(deadline + HANG_TIMEOUT, post(&client, &job, None));
    attempt.await.expect("the deadline did not end the attempt").result
}

#[tokio::test]
async fn a_receiver_that_refuses_is_unreachable() {
    assert_eq!(post_to(HostileServer::refusing().await, LONG).await, AttemptResult::Unreachable);
}

/// Asserts that an attempt times out and closes its connection after the receiver wrote only `beginning`.
async fn assert_times_out(beginning: &'static str) {
    let (sender, mut closed) = mpsc::unbounded_channel();
    let peer = HostileServer::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let _ = read_request(&mut stream).await;
            let _ = stream.write_all(beginning.as_bytes()).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = sender.send(());
        }
    })
    .await;
    assert_eq!(post_to(peer.port(), SHORT).await, AttemptResult::TimedOut, "{beginning}");
    closed.recv().await.expect("the connection is closed");
}

#[tokio::test]
async fn a_hung_receiver_times_out_at_the_deadline() {
    for beginning in ["", "HTTP/1.1", "HTTP/1.1 200 OK\r\nserver: x\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        assert_times_out(beginning).await;
    }
}

#[tokio::test]
async fn trickled_headers_do_not_extend_the_deadline() {
    let peer = HostileServer::start(async |mut stream, _| {
        let _ = read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(b"y").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(post_to(peer.port(), SHORT).await, AttemptResult::TimedOut);
}

#[tokio::test]
async fn a_status_counts_even_if_its_body_never_ends() {
    for beginning in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\n\r\n"] {
        let peer = HostileServer::start(move |mut stream, _| async move {
            let _ = read_request(&mut stream).await;
            let _ = stream.write_all(beginning.as_bytes()).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        assert_eq!(post_to(peer.port(), SHORT).await, AttemptResult::Answered(200));
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let (peer, poured) = HostileServer::pouring("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 64 * 1024]).await;
    assert_eq!(post_to(peer.port(), LONG).await, AttemptResult::Answered(200));
    assert!(poured.await.unwrap() < BUFFER_BOUND);
}

#[tokio::test]
async fn endless_headers_are_cut_off() {
    for chunk in [b"x-name: value\r\n".repeat(512), vec![b'x'; 8192]] {
        let (peer, poured) = HostileServer::pouring("HTTP/1.1 200 OK\r\n", chunk).await;
        assert_eq!(post_to(peer.port(), LONG).await, AttemptResult::BadAnswer);
        assert!(poured.await.unwrap() < BUFFER_BOUND);
    }
}

#[tokio::test]
async fn a_response_that_is_not_http_is_a_bad_answer() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"",
        b"\0\0\0\0\0\0\0\0",
        b"HTTP/1.1 20",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
    ] {
        let peer = HostileServer::answering(answer).await;
        assert_eq!(post_to(peer.port(), LONG).await, AttemptResult::BadAnswer, "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn https_to_a_receiver_without_tls_fails() {
    let plain = HostileServer::start(async |mut stream, _| {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let url = format!("https://127.0.0.1:{}/", plain.port());
    assert_eq!(post(&client(LONG), &job(1, &url), None).await.result, AttemptResult::Unreachable);

    let silent = HostileServer::start(async |mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let url = format!("https://127.0.0.1:{}/", silent.port());
    assert_eq!(post(&client(SHORT), &job(1, &url), None).await.result, AttemptResult::TimedOut);
}
