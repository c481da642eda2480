use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

/// 1994-11-06T08:49:37Z.
const NOW: UnixMillis = UnixMillis(784_111_777_000);
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Exchanges a request with a receiver that sends `response` and keeps the connection open.
async fn respond(response: &[u8]) -> Result<(ResponseHead, UnreadBody), ExchangeError> {
    let (mut near, mut far) = duplex(64 * 1024);
    far.write_all(response).await.unwrap();
    let exchanged = exchange(&mut near, REQUEST, NOW).await;
    let mut sent = vec![0; REQUEST.len()];
    far.read_exact(&mut sent).await.unwrap();
    assert_eq!(sent, REQUEST);
    exchanged
}

fn head(response: &str) -> Option<ResponseHead> {
    let head = HeadScan::default().next_head(response.as_bytes())?;
    ResponseHead::parse(&response.as_bytes()[head], NOW)
}

#[track_caller]
fn check_framing(response: &str, framing: BodyFraming) {
    assert_eq!(head(response).unwrap().framing, framing, "{response:?}");
}

#[test]
fn a_malformed_field_does_not_hide_the_status() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(110));
    for response in [
        "HTTP/1.1 200 OK\r\nserver : x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: folded\r\n value\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nna\u{e9}me: x\0y\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        &many,
    ] {
        assert_eq!(head(response).map(|head| head.status), Some(200), "{response:?}");
    }
}

#[test]
fn a_response_without_a_status_is_malformed() {
    for response in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 +20\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1. 200\r\n\r\n",
        "200 OK\r\n\r\n",
    ] {
        assert_eq!(head(response), None, "{response:?}");
    }
}

#[test]
fn heads_are_found_however_their_bytes_arrive() {
    let text = b"\r\n\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 200 OK\n\r\nbody\n\n";
    let expected = [&text[3..31], &text[31..49]];
    let mut scan = HeadScan::default();
    let mut found = Vec::new();
    for end in 0..=text.len() {
        while found.len() < expected.len()
            && let Some(head) = scan.next_head(&text[..end])
        {
            assert_eq!(head.end, end, "a head is found with its last byte");
            found.push(&text[head]);
        }
    }
    assert_eq!(found, expected);
    let mut scan = HeadScan::default();
    assert_eq!(
        [(); 3].map(|()| scan.next_head(&text[..49]).map(|head| &text[head])),
        [Some(expected[0]), Some(expected[1]), None]
    );
}

#[test]
fn the_end_of_a_body_is_known_only_beyond_doubt() {
    use BodyFraming::{Chunked, Close, Length};

    check_framing("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Length(5));
    check_framing("HTTP/1.1 200 OK\r\nCONTENT-LENGTH:5\r\n\r\n", Length(5));
    check_framing("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Length(0));
    check_framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Chunked);
    for fields in [
        "",
        "content-length: 5\r\nconnection: close\r\n",
        "content-length: 5\r\nconnection: x, Close\r\n",
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: -5\r\n",
        "content-length: +5\r\n",
        "content-length:\r\n 5\r\n",
        "content-length: 99999999999999999999999\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
    ] {
        check_framing(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), Close);
    }
    check_framing("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Close);
}

#[test]
fn a_requested_wait_is_seconds_or_a_date() {
    let wait = |value: &str| {
        head(&format!("HTTP/1.1 503 Down\r\nRetry-After: {value}\r\n\r\n")).unwrap().retry_after
    };
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
    assert_eq!(wait("soon"), None);
}

#[test]
fn the_rest_of_a_chunked_body_is_found() {
    use BodyRemainder::{Malformed, None, Some};

    for (bytes, expected) in [
        ("0\r\n\r\n", None),
        ("3\r\nabc\r\n0\r\n\r\n", None),
        ("3;x=y\r\nabc\r\n0\r\n\r\n", None),
        ("A\r\n0123456789\r\n0\r\n\r\n", None),
        ("", Some),
        ("3", Some),
        ("3\r\nab", Some),
        ("3\r\nabc\r\n", Some),
        ("0\r\n", Some),
        ("0\r\n\r\nHTTP/1.1 200 OK\r\n", Malformed),
        ("0\r\ntrailer: x\r\n\r\n", Malformed),
        ("3\r\nabcd\r\n", Malformed),
        ("x\r\n", Malformed),
        ("-1\r\n", Malformed),
        ("\r\n", Malformed),
        ("FFFFFFFFFFFFFFFF\r\n", Some),
        ("FFFFFFFFFFFFFFFFF\r\n", Malformed),
    ] {
        assert_eq!(remaining_chunks(bytes.as_bytes()), expected, "{bytes:?}");
    }
    assert_eq!(remaining_chunks(&[b'1'; 65]), Malformed);
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\n\r\n";
    let (head, _) = respond(response).await.unwrap();
    assert_eq!(head.status, 201);
    let (head, _) = respond(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
    assert_eq!(head.status, 101);
}

#[tokio::test]
async fn the_head_is_read_up_to_16_kib() {
    let response = |padding: usize| {
        let mut response = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        response.resize(MAX_HEAD + padding - 4, b'y');
        response.extend(b"\r\n\r\n");
        response
    };
    assert!(respond(&response(0)).await.is_ok());
    assert!(matches!(respond(&response(1)).await, Err(ExchangeError::Malformed)));
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    assert!(matches!(respond(&interim).await, Err(ExchangeError::Malformed)));
}

#[tokio::test]
async fn an_early_response_is_taken_although_the_request_is_not_read() {
    // The receiver reads nothing, and its buffer is smaller than the request.
    let (mut near, mut far) = duplex(64);
    far.write_all(b"HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let (head, body) = exchange(&mut near, &[b'x'; 1000], NOW).await.unwrap();
    assert_eq!(head.status, 413);
    assert!(body.ends_connection(), "the rest of the request is not sent");
}

#[tokio::test]
async fn a_response_that_the_receiver_sent_before_it_closed_is_taken() {
    let (mut near, mut far) = duplex(1024);
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    drop(far);
    assert_eq!(exchange(&mut near, REQUEST, NOW).await.unwrap().0.status, 200);
}

#[tokio::test]
async fn a_connection_that_ends_without_a_byte_differs_from_a_truncated_response() {
    let (mut near, far) = duplex(1024);
    drop(far);
    assert!(matches!(exchange(&mut near, REQUEST, NOW).await, Err(ExchangeError::NoResponse(_))));
    let (mut near, mut far) = duplex(1024);
    far.write_all(b"HTTP/1.1 200").await.unwrap();
    drop(far);
    assert!(matches!(exchange(&mut near, REQUEST, NOW).await, Err(ExchangeError::Malformed)));
}

#[tokio::test]
async fn a_connection_is_reusable_once_exactly_its_body_is_read() {
    for (first, rest, expected) in [
        ("content-length: 5\r\n\r\nab", "cde", true),
        ("transfer-encoding: chunked\r\n\r\n3\r\nab", "c\r\n0\r\n\r\n", true),
        ("content-length: 5\r\n\r\nab", "cdefg", false),
        ("transfer-encoding: chunked\r\n\r\n3\r\nab", "cd\r\n", false),
    ] {
        let (mut near, mut far) = duplex(1024);
        far.write_all(format!("HTTP/1.1 200 OK\r\n{first}").as_bytes()).await.unwrap();
        // A request is sent completely before the response is complete.
        let (_, body) = exchange(&mut near, b"", NOW).await.unwrap();
        far.write_all(rest.as_bytes()).await.unwrap();
        assert_eq!(body.drain(&mut near).await, expected, "{first:?} {rest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_for_a_moment_and_up_to_16_kib() {
    let body = |framing| UnreadBody { framing, bytes: Vec::new() };
    let (mut near, _far) = duplex(1024);
    assert!(!body(BodyFraming::Length(1)).drain(&mut near).await);
    let (mut near, mut far) = duplex(2 * MAX_BODY);
    far.write_all(&vec![b'x'; MAX_BODY + 1]).await.unwrap();
    let longest = u64::try_from(MAX_BODY).unwrap();
    assert!(!body(BodyFraming::Length(longest + 1)).drain(&mut near).await);
    let mut rest = vec![0; 1];
    near.read_exact(&mut rest).await.unwrap();
    far.write_all(&vec![b'x'; MAX_BODY]).await.unwrap();
    assert!(body(BodyFraming::Length(longest)).drain(&mut near).await);
}
