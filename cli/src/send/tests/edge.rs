//! A stub of edge and worker in one handler: it calls back before it responds, so no test waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Behaviour of the stub.
#[derive(Clone, Copy, Debug)]
pub(super) enum StubEdgeBehaviour {
    /// 202 and one callback.
    Faithful,
    /// 202, and the callback is lost.
    Silent,
    /// 202 and the same callback twice.
    Repeating,
    /// 202 and two differing callbacks.
    DifferingCallbacks,
    /// 202 and a callback with a wrong id.
    WrongId,
    /// 202 and a callback with an extra field.
    ExtraField,
    /// 503.
    Refusing,
    /// One callback, then the connection closes before the response.
    Cutting,
    /// Never responds.
    Hanging,
    /// 202 and one callback, after a delay.
    Slow(Duration),
    /// 202 and one callback, then the connection closes without notice.
    Closing,
}

/// A stub that stops when dropped.
pub(super) struct StubEdge {
    pub(super) url: String,
    _server: AbortOnDropHandle<()>,
}

impl StubEdge {
    pub(super) async fn spawn(behaviour: StubEdgeBehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(StubEdgeState { behaviour, ids: AtomicU64::new(0), idle: Mutex::default() });
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&state).connection(stream));
            }
        });
        Self { url, _server: AbortOnDropHandle::new(server) }
    }
}

struct StubEdgeState {
    behaviour: StubEdgeBehaviour,
    ids: AtomicU64,
    idle: Mutex<Vec<client::SendRequest<Full<Bytes>>>>,
}

impl StubEdgeState {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let state = Arc::clone(&self);
        let service = service_fn(move |request| Arc::clone(&state).answer(request));
        let connection = server::Builder::new()
            // Without keep-alive and without the header that announces it, the client has to notice by itself.
            .keep_alive(!matches!(self.behaviour, StubEdgeBehaviour::Closing))
            .serve_connection(TokioIo::new(stream), service);
        let _ = connection.await;
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, EdgeConnectionCut> {
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/charging-sessions"));
        assert_eq!(request.headers()["content-type"], "application/json");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let id = format!("id-{}", self.ids.fetch_add(1, Ordering::Relaxed));
        match self.behaviour {
            StubEdgeBehaviour::Silent => {}
            StubEdgeBehaviour::Faithful | StubEdgeBehaviour::Cutting | StubEdgeBehaviour::Closing => {
                self.call_back(&asked, &id, "allowed\"").await;
            }
            StubEdgeBehaviour::Repeating => {
                self.call_back(&asked, &id, "allowed\"").await;
                self.call_back(&asked, &id, "allowed\"").await;
            }
            StubEdgeBehaviour::DifferingCallbacks => {
                self.call_back(&asked, &id, "allowed\"").await;
                self.call_back(&asked, &id, "unknown\"").await;
            }
            StubEdgeBehaviour::WrongId => self.call_back(&asked, "another", "allowed\"").await,
            StubEdgeBehaviour::ExtraField => {
                self.call_back(&asked, &id, "allowed\",\"reason\":\"acl\"").await;
            }
            StubEdgeBehaviour::Slow(time) => {
                self.call_back(&asked, &id, "allowed\"").await;
                tokio::time::sleep(time).await;
            }
            StubEdgeBehaviour::Hanging => std::future::pending().await,
            StubEdgeBehaviour::Refusing => {
                return Ok(Response::builder().status(503).body(Full::default()).unwrap());
            }
        }
        if matches!(self.behaviour, StubEdgeBehaviour::Cutting) {
            return Err(EdgeConnectionCut);
        }
        Ok(Response::builder().status(202).header("x-request-id", id).body(Full::default()).unwrap())
    }

    /// Posts a callback whose body ends with `end`, and waits for the response.
    async fn call_back(&self, asked: &Value, id: &str, end: &str) {
        let text = |key: &str| asked[key].as_str().unwrap();
        let url = text("callback_url").strip_prefix("http://").unwrap();
        let (authority, path) = url.split_once('/').unwrap();
        let body = format!(
            r#"{{"station_id":"{}","driver_token":"{}","status":"{end}}}"#,
            text("station_id"),
            text("driver_token")
        );
        let request = Request::post(format!("/{path}"))
            .header("host", authority)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .body(Full::new(body.into()))
            .unwrap();
        let idle = self.idle.lock().pop();
        let mut sender = match idle {
            Some(sender) => sender,
            None => connect(authority.parse().unwrap()).await,
        };
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 204);
        response.into_body().collect().await.unwrap();
        self.idle.lock().push(sender);
    }
}

async fn connect(address: SocketAddr) -> client::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct EdgeConnectionCut;
