//! Responses of services that are overloaded, and processes that are.

use std::time::Duration;

use super::{ALLOWED, JSON, LONG, answer, check, client_of};
use crate::authorizer::AclCallError;
use chargegate_storage::testing::{HostileServer, effects, read_request};
use tokio::io::AsyncWriteExt as _;

fn overloaded(status: u16, retry_after: Option<u64>) -> AclCallError {
    AclCallError::Overloaded { status, retry_after: retry_after.map(Duration::from_secs) }
}

#[tokio::test]
async fn an_overloaded_service_may_name_a_wait() {
    for status in [429, 503] {
        let with = |header: &str| format!("HTTP/1.1 {status} Slow\r\n{header}content-length: 0\r\n\r\n");
        check(with(""), Err(overloaded(status, None))).await;
        check(with("retry-after: 7\r\n"), Err(overloaded(status, Some(7)))).await;
        check(with("retry-after: soon\r\n"), Err(overloaded(status, None))).await;
        let endless = "retry-after: 99999999999999999999999999\r\n";
        check(with(endless), Err(overloaded(status, Some(u64::MAX)))).await;
        // Even a valid body is no answer with these.
        check(answer(&format!("{status} Slow"), JSON, ALLOWED), Err(overloaded(status, None))).await;
    }
}

#[tokio::test]
async fn a_date_is_measured_from_the_clock_of_this_process() {
    let now = effects().clock.now();
    let date = std::time::UNIX_EPOCH + Duration::from_secs(now.0 / 1000 + 90);
    let raw = format!(
        "HTTP/1.1 503 Slow\r\nretry-after: {}\r\ncontent-length: 0\r\n\r\n",
        httpdate::fmt_http_date(date)
    );
    let peer = HostileServer::answering(raw).await;
    let AclCallError::Overloaded { retry_after: Some(wait), .. } =
        super::ask(peer.port(), LONG).await.unwrap_err()
    else {
        panic!("no wait")
    };
    assert!(wait > Duration::from_mins(1) && wait <= Duration::from_secs(90), "{wait:?}");
}

#[tokio::test]
async fn a_body_that_does_not_count_delays_nothing() {
    let peer = HostileServer::start(async |mut stream, _| {
        let _ = read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 503 Slow\r\ncontent-length: 100\r\n\r\npart").await;
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
    })
    .await;
    assert_eq!(super::ask(peer.port(), LONG).await, Err(overloaded(503, None)));
}

#[tokio::test]
async fn a_failing_service_keeps_its_connections() {
    let peer = HostileServer::start(async |mut stream, _| {
        while read_request(&mut stream).await.is_some() {
            let _ = stream.write_all(answer("500 Broken", "text/plain", "broken").as_bytes()).await;
        }
    })
    .await;
    let authorizer = client_of(peer.port()).await;
    for _ in 0..5 {
        assert_eq!(super::ask_with(&authorizer, LONG).await, Err(AclCallError::Status(500)));
    }
    assert_eq!(peer.connections(), 1);
}
