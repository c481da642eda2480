//! A valid session request and assertions on its response.

use crate::host::support::{RawConnection, RawReply};

/// Body of a valid request.
pub(crate) const SESSION: &str = r#"{"station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001","callback_url":"https://client.example/cb?a=%7B"}"#;

/// Posts [`SESSION`] and returns the response.
pub(crate) async fn post(client: &mut RawConnection) -> RawReply {
    let head = "POST /v1/charging-sessions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json";
    client.send(format!("{head}\r\ncontent-length: {}\r\n\r\n{SESSION}", SESSION.len()).as_bytes()).await;
    client.reply(false).await.expect("an answer")
}

/// Asserts that the request was acknowledged.
#[track_caller]
pub(crate) fn assert_accepted(reply: &RawReply) {
    assert_eq!(reply.status, 202, "{}", reply.text());
}

/// Asserts that the request was refused with this detail.
#[track_caller]
pub(crate) fn assert_refused(reply: &RawReply, detail: &str) {
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text());
    assert!(reply.text().contains(detail), "{}", reply.text());
}
