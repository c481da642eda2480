use tokio::time::Instant;

use super::*;
use chargegate_storage::testing::HostileServer;

const LONG: Duration = Duration::from_mins(1);
const MAX_RESPONSE: usize = 1_000;

async fn call(peer: &HostileServer, deadline: Duration) -> Result<ServiceResponse, ServiceCallError> {
    let uri = format!("http://127.0.0.1:{}/", peer.port());
    let request = Request::post(uri).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    ServiceClient::new(1, MAX_RESPONSE).unwrap().call(request, deadline).await
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_response_up_to_the_size_limit_is_read_and_a_longer_one_fails() {
    let longest = "x".repeat(MAX_RESPONSE);
    let peer = HostileServer::answering(answer("200 OK", &longest)).await;
    assert_eq!(call(&peer, LONG).await.unwrap().body, longest);
    let peer = HostileServer::answering(answer("200 OK", &format!("{longest}x"))).await;
    assert!(matches!(call(&peer, LONG).await, Err(ServiceCallError::TooLarge)));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (peer, sent) = HostileServer::pouring(head, b"4\r\nxxxx\r\n".to_vec()).await;
    assert!(matches!(call(&peer, LONG).await, Err(ServiceCallError::TooLarge)));
    sent.await.unwrap();
}

#[tokio::test]
async fn a_call_without_a_head_or_a_body_ends_at_its_deadline() {
    let deadline = Duration::from_millis(200);
    let began = Instant::now();
    let peer = HostileServer::hanging().await;
    assert!(matches!(call(&peer, deadline).await, Err(ServiceCallError::TimedOut)));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    let peer = HostileServer::start(async move |mut stream, _| {
        let _ = chargegate_storage::testing::read_request(&mut stream).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await;
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
    })
    .await;
    assert!(matches!(call(&peer, deadline).await, Err(ServiceCallError::TimedOut)));
    assert!(began.elapsed() >= deadline * 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_truncated_response_fails() {
    let peer = HostileServer::answering(answer("302 Found\r\nlocation: http://127.0.0.1:1/", "")).await;
    assert_eq!(call(&peer, LONG).await.unwrap().status, StatusCode::FOUND);
    let peer = HostileServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    assert!(matches!(call(&peer, LONG).await, Err(ServiceCallError::Broken(_))));
}

#[test]
fn a_requested_wait_is_bounded() {
    assert_eq!(parse_bounded_retry_after(b"7"), Some(Duration::from_secs(7)));
    assert_eq!(parse_bounded_retry_after(b"99999999999999999999999"), Some(MAX_RETRY_AFTER));
    assert_eq!(parse_bounded_retry_after(b"Fri, 01 Jan 2100 00:00:00 GMT"), None);
}
