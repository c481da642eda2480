//! Callbacks through an egress proxy.

use std::sync::Arc;

use chargegate_core::AddressPolicy;
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::{HostileServer, effects, read_request};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::{FakeResolver, KEPT, LONG, job, post};
use crate::callback::client::NotAttempted;
use crate::callback::receivers::Receivers;
use crate::callback::{CallbackClient, CallbackTls, CallbackTlsFiles};
use crate::certificates::Authority;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A proxy that forwards everything to `receiver`, whatever its name, and keeps the requests made to it.
async fn proxy_to(receiver: u16) -> (HostileServer, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    let server = HostileServer::start(move |mut stream, _| {
        let seen = Arc::clone(&seen);
        async move {
            let request = read_request(&mut stream).await.unwrap();
            seen.lock().push(request.clone());
            let mut upstream = TcpStream::connect(("127.0.0.1", receiver)).await.unwrap();
            if request.starts_with("CONNECT ") {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            } else {
                upstream.write_all(request.as_bytes()).await.unwrap();
            }
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    })
    .await;
    (server, requests)
}

/// A client that knows no name and may call no private address.
fn client(proxy: &str, tls: &CallbackTls) -> CallbackClient {
    let resolver = Arc::new(FakeResolver::default());
    CallbackClient::new(AddressPolicy::default().into(), resolver, LONG, KEPT, tls, effects())
        .with_proxy(Some(proxy.parse().unwrap()))
}

fn public_client(proxy: &HostileServer) -> CallbackClient {
    client(&format!("http://127.0.0.1:{}", proxy.port()), &CallbackTls::public().unwrap())
}

/// Makes one attempt that does not begin, and returns whether the health of its host is unchanged.
async fn is_not_attempted(client: &CallbackClient, url: &str) -> bool {
    let receivers = Receivers::new(100, 100, effects());
    let job = job(1, url);
    for _ in 0..10 {
        let mut permit = receivers.admit(&job.callback_url).ok().unwrap();
        let attempt = client.post(&job, None, &mut permit).await;
        if !matches!(attempt, Err(NotAttempted { .. })) {
            return false;
        }
    }
    receivers.admit(&job.callback_url).is_ok()
}

#[tokio::test]
async fn http_is_requested_from_the_proxy_in_absolute_form() {
    let peer = HostileServer::answering(OK).await;
    let (proxy, requests) = proxy_to(peer.port()).await;
    let client =
        client(&format!("http://user:p%40ss@127.0.0.1:{}/", proxy.port()), &CallbackTls::public().unwrap());
    for n in 1..=3 {
        let response = post(&client, &job(n, "http://client.example:8080/cb?a=b"), None).await;
        assert_eq!(response.result, AttemptResult::Answered(200));
    }
    let requests = requests.lock().clone();
    assert_eq!(requests.len(), 3, "connections for plain HTTP are not kept");
    let head = "POST http://client.example:8080/cb?a=b HTTP/1.1\r\nHost: client.example:8080\r\n";
    assert!(requests[0].starts_with(head), "{}", requests[0]);
    assert!(requests[0].contains("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{}", requests[0]);
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("receivers");
    let acceptor = authority.acceptor("client.example", None);
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&heads);
    let peer = HostileServer::start(move |stream, _| {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            while let Some(request) = read_request(&mut stream).await {
                seen.lock().push(request);
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = CallbackTls::load(&CallbackTlsFiles { ca: Some(ca), client: None }).await.unwrap();
    let (proxy, requests) = proxy_to(peer.port()).await;
    let client = client(&format!("http://user:secret@127.0.0.1:{}", proxy.port()), &tls);
    for n in 1..=3 {
        let response = post(&client, &job(n, "https://client.example/cb"), None).await;
        assert_eq!(response.result, AttemptResult::Answered(200));
    }
    let requests = requests.lock().clone();
    assert_eq!(requests.len(), 2, "a tunnel is kept from the second call on");
    assert!(requests[0].starts_with("CONNECT client.example:443 HTTP/1.1\r\nHost: client.example:443\r\n"));
    assert!(requests[0].contains("\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"));
    let heads = heads.lock().clone();
    assert!(heads[0].starts_with("POST /cb HTTP/1.1\r\nHost: client.example\r\n"), "{}", heads[0]);
    assert!(heads.iter().all(|head| !head.contains("Proxy-Authorization")), "it is for the proxy only");
}

#[tokio::test]
async fn literal_addresses_are_judged_before_the_proxy_is_asked() {
    let (proxy, requests) = proxy_to(9).await;
    let client = public_client(&proxy);
    for url in ["http://10.0.0.1/", "https://[::1]/", "http://client.example:25/"] {
        assert_eq!(post(&client, &job(1, url), None).await.result, AttemptResult::Blocked, "{url}");
    }
    assert!(requests.lock().is_empty());
}

#[tokio::test]
async fn a_failure_of_the_proxy_is_not_one_of_the_receiver() {
    for (answer, url) in [
        ("HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\n\r\n", "http://client.example/"),
        ("HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\n\r\n", "https://client.example/"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "http://client.example/"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "https://client.example/"),
        ("HTTP/1.1 200 OK\r\n\r\nearly", "https://client.example/"),
        ("", "http://client.example/"),
        ("", "https://client.example/"),
    ] {
        let proxy = HostileServer::answering(answer).await;
        assert!(is_not_attempted(&public_client(&proxy), url).await, "{url}: {answer:?}");
    }
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let client = client(&format!("http://127.0.0.1:{unused}"), &CallbackTls::public().unwrap());
    for url in ["http://client.example/", "https://client.example/"] {
        assert!(is_not_attempted(&client, url).await, "{url}");
    }
}

#[tokio::test]
async fn a_receiver_that_the_proxy_does_not_reach_fails() {
    // Proxies answer 407 without a challenge, 403 or 500 too, for receivers that are forbidden or unreachable.
    for status in [403, 407, 500, 502, 503, 504] {
        let proxy =
            HostileServer::answering(format!("HTTP/1.1 {status} Sorry\r\ncontent-length: 0\r\n\r\n")).await;
        let client = public_client(&proxy);
        let response = post(&client, &job(1, "https://client.example/"), None).await;
        assert_eq!(response.result, AttemptResult::Unreachable);
        let response = post(&client, &job(1, "http://client.example/"), None).await;
        assert_eq!(response.result, AttemptResult::Answered(status));
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends_with_the_attempt() {
    let proxy = HostileServer::start(async |mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let resolver = Arc::new(FakeResolver::default());
    let tls = CallbackTls::public().unwrap();
    let client =
        CallbackClient::new(AddressPolicy::default().into(), resolver, super::SHORT, KEPT, &tls, effects())
            .with_proxy(Some(format!("http://127.0.0.1:{}", proxy.port()).parse().unwrap()));
    let response = post(&client, &job(1, "https://client.example/"), None).await;
    assert_eq!(response.result, AttemptResult::TimedOut);
}
