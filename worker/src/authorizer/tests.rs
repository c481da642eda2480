//! Hostile authorization services, over real sockets on loopback.

mod check;
mod credential;
mod kept;
mod load;
mod ocpi;
mod system_resolver;
mod tls;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{DecisionStatus, Traceparent};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::resolver::HostResolver;
use super::{
    AclCallError, AclClientSettings, AclProfile, AclTlsFiles, AuthorizationRequest, Authorizer,
    HttpAuthorizer,
};
use chargegate_storage::testing::{HostileServer, STATION, TOKEN, effects, read_request};

/// Timeout of operations that must not time out.
const LONG: Duration = Duration::from_mins(1);
/// Timeout of operations that must time out.
const SHORT: Duration = Duration::from_millis(100);

/// Resolver of one name, whose address a test may move.
#[derive(Clone)]
struct MovableName(Arc<Mutex<IpAddr>>);

impl MovableName {
    fn at(address: [u8; 4]) -> Self {
        Self(Arc::new(Mutex::new(address.into())))
    }

    fn move_to(&self, address: [u8; 4]) {
        *self.0.lock() = address.into();
    }
}

#[async_trait]
impl HostResolver for MovableName {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "acl.test");
        Ok(vec![*self.0.lock()])
    }
}

/// Returns the settings of a client of the service at `url`.
fn settings(url: &str) -> AclClientSettings {
    AclClientSettings {
        url: url.parse().unwrap(),
        profile: AclProfile::built_in("chargegate").unwrap(),
        credential: None,
        tls: AclTlsFiles::default(),
        connections: 4,
    }
}

async fn open(settings: AclClientSettings) -> HttpAuthorizer {
    let resolver = Arc::new(MovableName::at([127, 0, 0, 1]));
    HttpAuthorizer::open(settings, resolver, effects()).await.unwrap()
}

async fn client_of(port: u16) -> HttpAuthorizer {
    open(settings(&format!("http://127.0.0.1:{port}"))).await
}

/// Moves the clock of the runtime forward. Outside of this function it runs, as sockets need it.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn ask(port: u16, timeout: Duration) -> Result<DecisionStatus, AclCallError> {
    ask_with(&client_of(port).await, timeout).await
}

async fn ask_with(authorizer: &HttpAuthorizer, timeout: Duration) -> Result<DecisionStatus, AclCallError> {
    let (station_id, driver_token) = (STATION.parse().unwrap(), TOKEN.parse().unwrap());
    let request = AuthorizationRequest {
        station_id: &station_id,
        driver_token: &driver_token,
        traceparent: Traceparent::new([7; 16], [9; 8]),
    };
    // A test whose timeout does not work fails instead of hanging.
    let asked =
        tokio::time::timeout(timeout + Duration::from_secs(20), authorizer.authorize(request, timeout));
    asked.await.expect("the timeout did not end the call")
}

/// Returns a response with this status, content type and body.
fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
}

async fn check(raw: impl Into<Vec<u8>>, expected: Result<DecisionStatus, AclCallError>) {
    let raw = raw.into();
    let shown = raw.get(..raw.len().min(80)).unwrap().escape_ascii().to_string();
    let peer = HostileServer::answering(raw).await;
    assert_eq!(ask(peer.port(), LONG).await, expected, "{shown}");
}

const JSON: &str = "application/json";
const ALLOWED: &str = r#"{"status":"allowed"}"#;

#[tokio::test]
async fn the_request_matches_the_contract() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let peer = HostileServer::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(read_request(&mut stream).await.unwrap());
            let _ = stream.write_all(answer("200 OK", JSON, ALLOWED).as_bytes()).await;
        }
    })
    .await;
    assert_eq!(ask(peer.port(), LONG).await, Ok(DecisionStatus::Allowed));
    let request = received.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/authorizations HTTP/1.1\r\n"), "{head}");
    for header in [
        "content-type: application/json".to_owned(),
        format!("host: 127.0.0.1:{}", peer.port()),
        format!("traceparent: {}", Traceparent::new([7; 16], [9; 8]).as_str()),
        format!("content-length: {}", body.len()),
    ] {
        assert!(head.lines().any(|line| line == header), "{header} in {head}");
    }
    assert_eq!(body, format!(r#"{{"station_id":"{STATION}","driver_token":"{TOKEN}"}}"#));
}

#[tokio::test]
async fn every_status_is_parsed() {
    for status in DecisionStatus::ALL {
        check(answer("200 OK", JSON, &format!(r#"{{"status":"{status}"}}"#)), Ok(status)).await;
    }
    check(answer("200 OK", "application/json; charset=utf-8", ALLOWED), Ok(DecisionStatus::Allowed)).await;
}

#[tokio::test]
async fn a_status_other_than_200_is_not_an_answer() {
    for status in [201, 400, 404, 500, 502] {
        let raw = answer(&format!("{status} Whatever"), JSON, ALLOWED);
        check(raw, Err(AclCallError::Status(status))).await;
    }
    check("HTTP/1.1 204 Empty\r\n\r\n", Err(AclCallError::Status(204))).await;
}

#[tokio::test]
async fn a_200_without_a_valid_answer_is_unreadable() {
    for (content_type, body) in [
        ("text/html", "<html>welcome</html>"),
        ("text/html", ALLOWED),
        ("application/problem+json", ALLOWED),
        (JSON, "<html>welcome</html>"),
        (JSON, ""),
        (JSON, r#"{"status":"perhaps"}"#),
        (JSON, r#"{"status":null}"#),
        (JSON, r#"["allowed"]"#),
    ] {
        check(answer("200 OK", content_type, body), Err(AclCallError::Unreadable)).await;
    }
    check(format!("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{ALLOWED}"), Err(AclCallError::Unreadable))
        .await;
}

#[tokio::test]
async fn an_oversized_answer_is_unreadable_even_if_valid() {
    let padded = format!("{ALLOWED}{}", " ".repeat(10 * 1024 * 1024));
    check(answer("200 OK", JSON, &padded), Err(AclCallError::Unreadable)).await;
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"status\":\"allowed\"}";
    let (peer, poured) = HostileServer::pouring(head, vec![b' '; 64 * 1024]).await;
    assert_eq!(ask(peer.port(), LONG).await, Err(AclCallError::Unreadable));
    // Sockets buffer some megabytes; without a cap a peer sends gigabytes before the timeout.
    assert!(poured.await.unwrap() < 64 * 1024 * 1024);
}

#[tokio::test]
async fn refused_and_cut_connections_are_distinguished() {
    assert_eq!(ask(HostileServer::refusing().await, LONG).await, Err(AclCallError::Unreachable));
    let whole = answer("200 OK", JSON, ALLOWED);
    for end in [0, 10, 40, whole.len() - 1] {
        check(&whole[..end], Err(AclCallError::Cut)).await;
    }
    check("SSH-2.0-OpenSSH_9.6\r\n", Err(AclCallError::Cut)).await;
}

#[tokio::test]
async fn the_timeout_spans_the_whole_exchange() {
    let whole = answer("200 OK", JSON, ALLOWED);
    // Nothing, a part of the head, only the head, all but the last byte.
    for end in [0, 10, whole.len() - ALLOWED.len(), whole.len() - 1] {
        let part = whole[..end].to_owned();
        let (sender, mut received) = mpsc::unbounded_channel();
        let peer = HostileServer::start(move |mut stream, _| {
            let (part, sender) = (part.clone(), sender.clone());
            async move {
                let _ = read_request(&mut stream).await;
                let _ = stream.write_all(part.as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
                let _ = sender.send(());
            }
        })
        .await;
        assert_eq!(ask(peer.port(), SHORT).await, Err(AclCallError::TimedOut), "{end}");
        received.recv().await.expect("the connection is closed, so the service can stop");
    }
}

#[tokio::test]
async fn a_trickled_answer_does_not_extend_the_timeout() {
    let peer = HostileServer::start(async |mut stream, _| {
        let _ = read_request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(ask(peer.port(), SHORT).await, Err(AclCallError::TimedOut));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = HostileServer::answering(answer("200 OK", JSON, ALLOWED)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://127.0.0.1:{}/v1/authorizations", elsewhere.port());
        let raw = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        check(raw, Err(AclCallError::Status(status))).await;
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_connection_is_reused() {
    let peer = HostileServer::start(async |mut stream, _| {
        while read_request(&mut stream).await.is_some() {
            let _ = stream.write_all(answer("200 OK", JSON, ALLOWED).as_bytes()).await;
        }
    })
    .await;
    let authorizer = client_of(peer.port()).await;
    for _ in 0..5 {
        assert_eq!(ask_with(&authorizer, LONG).await, Ok(DecisionStatus::Allowed));
    }
    assert_eq!(peer.connections(), 1);
}

/// A running test cannot set environment variables, so the test runs itself again with them.
#[tokio::test]
async fn proxy_variables_of_the_environment_are_ignored() {
    const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    if std::env::var_os("http_proxy").as_deref() == Some("http://127.0.0.1:9".as_ref()) {
        return check(answer("200 OK", JSON, ALLOWED), Ok(DecisionStatus::Allowed)).await;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "authorizer::tests::proxy_variables_of_the_environment_are_ignored"]);
    again
        .envs(PROXIES.map(|name| (name, "http://127.0.0.1:9")))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
