//! Requests as a receiver gets them, and the results of its status.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::{LONG, client, job, post, trace};
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::{HostileServer, read_request};

#[tokio::test]
async fn the_request_matches_the_contract_byte_for_byte() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let peer = HostileServer::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(read_request(&mut stream).await.unwrap());
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    })
    .await;
    let port = peer.port();
    let job = job(1, &format!("http://127.0.0.1:{port}/done;v=1?key=a%20b&x="));
    let attempt = post(&client(LONG), &job, Some(trace())).await;
    assert_eq!((attempt.result, attempt.retry_after), (AttemptResult::Answered(204), None));

    let request = received.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    assert_eq!(line, "POST /done;v=1?key=a%20b&x= HTTP/1.1");
    assert_eq!(
        body,
        r#"{"station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001","status":"allowed"}"#
    );
    let mut headers: Vec<_> = headers.split("\r\n").map(str::to_owned).collect();
    headers.sort_unstable();
    // Old servers expect the usual spelling of names.
    let expected = [
        "Accept: */*".to_owned(),
        "Chargegate-Accepted-At: 1000".to_owned(),
        "Chargegate-Decided-At: 2000".to_owned(),
        "Chargegate-Decision-Reason: acl".to_owned(),
        format!("Content-Length: {}", body.len()),
        "Content-Type: application/json".to_owned(),
        format!("Host: 127.0.0.1:{port}"),
        format!("Traceparent: {}", trace().as_str()),
        format!("User-Agent: chargegate/{}", env!("CARGO_PKG_VERSION")),
        format!("Webhook-Id: {}", job.request_id),
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn a_status_is_returned_with_the_requested_wait() {
    for (head, status, wait) in [
        ("200 OK", 200, None),
        ("202 Accepted", 202, None),
        ("410 Gone", 410, None),
        ("500 Oops\r\nretry-after: 7", 500, Some(7)),
        ("429 Slow\r\nretry-after: 99999999999999999999999999999999", 429, Some(u64::MAX)),
        ("503 Down\r\nretry-after: Fri, 31 Dec 1999 23:59:59 GMT", 503, Some(0)),
        ("200 OK\r\nserver : x\r\nx: folded\r\n value", 200, None),
        ("999 What", 999, None),
    ] {
        let peer = HostileServer::answering(format!("HTTP/1.1 {head}\r\ncontent-length: 2\r\n\r\nok")).await;
        let attempt = post(&client(LONG), &job(1, &format!("http://127.0.0.1:{}/", peer.port())), None).await;
        assert_eq!(attempt.result, AttemptResult::Answered(status), "{head}");
        assert_eq!(attempt.retry_after, wait.map(Duration::from_secs), "{head}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = HostileServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("http://127.0.0.1:{}/", elsewhere.port());
        let peer = HostileServer::answering(format!(
            "HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let attempt = post(&client(LONG), &job(1, &format!("http://127.0.0.1:{}/", peer.port())), None).await;
        assert_eq!(attempt.result, AttemptResult::Answered(status));
        assert_eq!(peer.connections(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}
