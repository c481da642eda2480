//! An emulator with a strict client.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chargegate_cloudflare_emulator::{
    CloudflareEmulator, EmulatedQueueSnapshot, EmulatorSettings, QUEUE_HEADER,
};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const ACCOUNT: &str = "account";
pub(crate) const JOBS: &str = "cafecafecafecafecafecafecafecafe";
pub(crate) const DEAD: &str = "deadbeefdeadbeefdeadbeefdeadbeef";
pub(crate) const TOKEN: &str = "token";

/// Deadline of every wait, generous enough for a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);

/// An emulator with calls on its queue `jobs`.
pub(crate) struct EmulatorHarness {
    pub(crate) emulator: CloudflareEmulator,
}

/// Response of the emulator.
#[derive(Debug)]
pub(crate) struct EmulatorReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl EmulatorHarness {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut EmulatorSettings)) -> Self {
        let mut settings = EmulatorSettings::sample();
        change(&mut settings);
        Self { emulator: CloudflareEmulator::start(settings).await.unwrap() }
    }

    pub(crate) fn jobs(&self) -> EmulatedQueueSnapshot {
        self.emulator.queue(JOBS).unwrap()
    }

    /// Calls the API below the queue `jobs` over a new connection.
    pub(crate) async fn try_call(&self, path: &str, body: &Value) -> Result<EmulatorReply, hyper::Error> {
        let request = post(&format!("{}/{path}", queue_path(JOBS)), Some(TOKEN), body.to_string());
        call(self.emulator.address(), request).await
    }

    /// Calls the API below the queue `jobs`.
    pub(crate) async fn call(&self, path: &str, body: &Value) -> EmulatorReply {
        self.try_call(path, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> EmulatorReply {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        call(self.emulator.address(), request.body(Full::default()).unwrap()).await.unwrap()
    }

    /// Calls the broker like the Workers runtime.
    pub(crate) async fn runtime(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> EmulatorReply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| *name == QUEUE_HEADER) {
            request = request.header(QUEUE_HEADER, "jobs");
        }
        call(self.emulator.address(), request.body(Full::new(body.into())).unwrap()).await.unwrap()
    }

    /// Sends texts through the API.
    pub(crate) async fn send(&self, texts: &[&str]) {
        let message = |text| json!({ "body": text, "content_type": "text" });
        let messages: Vec<_> = texts.iter().map(message).collect();
        self.call("messages/batch", &json!({ "messages": messages })).await.result();
    }

    /// Pulls with a visibility timeout of a minute.
    pub(crate) async fn pull(&self, most: usize) -> Vec<Value> {
        let pull = json!({ "batch_size": most, "visibility_timeout_ms": 60_000 });
        let mut result = self.call("messages/pull", &pull).await.result();
        serde_json::from_value(result["messages"].take()).unwrap()
    }

    pub(crate) async fn acknowledge(&self, messages: &[Value]) -> Value {
        self.call("messages/ack", &json!({ "acks": leases(messages) })).await.result()
    }

    pub(crate) async fn retry(&self, messages: &[Value]) -> Value {
        self.call("messages/ack", &json!({ "retries": leases(messages) })).await.result()
    }
}

impl EmulatorReply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the result of a successful call.
    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        let mut body = self.json();
        assert_eq!((self.status, &body["success"], &body["errors"]), (200, &json!(true), &json!([])));
        body["result"].take()
    }

    /// Returns status and code of a refused call.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, u64) {
        let body = self.json();
        assert_eq!((&body["success"], &body["result"]), (&json!(false), &Value::Null));
        (self.status, body["errors"][0]["code"].as_u64().unwrap())
    }

    /// Returns status and code of a refusal by the broker.
    pub(crate) fn broker_refusal(&self) -> (u16, u64) {
        let text = |name| self.headers.get(name).unwrap().to_str().unwrap();
        assert!(!text("cf-queues-error-cause").is_empty());
        (self.status, text("cf-queues-error-code").parse().unwrap())
    }

    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.headers.get("retry-after").map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn queue_path(queue: &str) -> String {
    format!("/client/v4/accounts/{ACCOUNT}/queues/{queue}")
}

pub(crate) fn post(path: &str, token: Option<&str>, body: String) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) fn leases(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|message| json!({ "lease_id": message["lease_id"] })).collect()
}

pub(crate) fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["body"].as_str().unwrap()).collect()
}

/// Sends one request over a new connection.
pub(crate) async fn call(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<EmulatorReply, hyper::Error> {
    exchange(&mut connect(address).await, request).await
}

pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<EmulatorReply, hyper::Error> {
    let exchange = async {
        connection.ready().await?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(EmulatorReply { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(DEADLINE, exchange).await.expect("a response or a cut connection before the deadline")
}

/// Polls until the condition holds.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, waiting).await.expect("the condition holds before the deadline");
}
