//! Workers that serve, and the broker that takes their messages.

use std::collections::BTreeMap;
use std::env;
use std::future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chargegate_servers::{QueueBroker, WorkerBinding, WorkerdScript, WorkerdServer, workerd};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::host::support::{Client, Reply};

/// How long the queue is given.
pub(super) const TIMEOUT: &str = "CHARGEGATE_ENQUEUE_TIMEOUT_MS";
/// Longer than a queue takes on a busy machine.
pub(super) const PATIENT: &str = "30000";

/// The edge, or the guest, as a worker that serves.
pub(crate) struct Running(pub(crate) WorkerdServer);

impl Running {
    /// The edge, its queue at `broker`, which is given more time than a busy machine takes.
    pub(super) fn edge(broker: SocketAddr) -> Self {
        Self::edge_waiting(PATIENT, queue(broker))
    }

    /// The edge, which gives `queue` so many milliseconds.
    pub(super) fn edge_waiting(milliseconds: &str, queue: WorkerBinding) -> Self {
        let bindings = [("JOBS", queue), (TIMEOUT, WorkerBinding::Text(milliseconds.to_owned()))];
        Self::start("CHARGEGATE_EDGE_WORKER", bindings)
    }

    /// The guest, its queue at `broker`.
    pub(super) fn guest(broker: SocketAddr) -> Self {
        Self::start("CHARGEGATE_GUEST_WORKER", [("JOBS", queue(broker))])
    }

    pub(crate) fn start<'a>(
        variable: &str,
        bindings: impl IntoIterator<Item = (&'a str, WorkerBinding)>,
    ) -> Self {
        let modules =
            env::var(variable).unwrap_or_else(|_| panic!("{variable} must name a worker's modules"));
        let bindings = bindings.into_iter().map(|(name, binding)| (name.to_owned(), binding)).collect();
        let worker = WorkerdScript { modules: PathBuf::from(modules), bindings };
        Self(WorkerdServer::start(&workerd(), &worker).unwrap())
    }

    pub(super) async fn connect(&self) -> Client {
        Client::to(SocketAddr::from(([127, 0, 0, 1], self.0.port()))).await
    }

    /// One request on a connection of its own.
    pub(super) async fn get(&self, path: &str) -> Reply {
        self.connect().await.get(path).await
    }
}

/// A queue whose messages go to `broker`.
pub(super) fn queue(broker: SocketAddr) -> WorkerBinding {
    WorkerBinding::Queue(QueueBroker { address: broker, headers: Vec::new() })
}

/// What a [`Peer`] answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It takes the message.
    #[default]
    Takes,
    /// It refuses the message with a status, and a code from Cloudflare's list where there is one.
    Refuses(u16, Option<u32>),
    /// It takes the message, and says so in a way that nobody understands.
    Mumbles,
    /// It never answers.
    Hangs,
}

/// A broker that does as it is told, and keeps what it has taken.
#[derive(Default)]
pub(super) struct Peer {
    verdict: Mutex<Verdict>,
    messages: Mutex<Vec<String>>,
    formats: Mutex<BTreeMap<String, usize>>,
    /// How many messages it leaves without an answer.
    hanging: watch::Sender<usize>,
}

impl Peer {
    /// A broker on a free port.
    pub(super) async fn start() -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), Self::start_on(listener))
    }

    /// A broker where it is expected.
    pub(super) fn start_on(listener: TcpListener) -> Arc<Self> {
        let peer = Arc::new(Self::default());
        let routes = Router::new().route("/message", post(take)).with_state(Arc::clone(&peer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        peer
    }

    pub(super) fn tell(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    /// Waits until so many messages hang.
    pub(super) async fn hangs(&self, messages: usize) {
        self.hanging.subscribe().wait_for(|hanging| *hanging >= messages).await.unwrap();
    }

    /// The messages since the last call.
    pub(super) fn messages(&self) -> Vec<String> {
        std::mem::take(&mut self.messages.lock().unwrap())
    }

    /// As what the messages came, and how many.
    pub(super) fn formats(&self) -> BTreeMap<String, usize> {
        self.formats.lock().unwrap().clone()
    }
}

async fn take(State(peer): State<Arc<Peer>>, headers: HeaderMap, message: String) -> Response {
    const TAKEN: &str = r#"{"metadata":{"metrics":{"backlogCount":1,"backlogBytes":1}}}"#;
    let verdict = *peer.verdict.lock().unwrap();
    let body = match verdict {
        Verdict::Takes => TAKEN,
        Verdict::Mumbles => "so be it",
        Verdict::Hangs => {
            peer.hanging.send_modify(|hanging| *hanging += 1);
            return future::pending().await;
        }
        Verdict::Refuses(status, code) => {
            let mut refusal = StatusCode::from_u16(status).unwrap().into_response();
            if let Some(code) = code {
                refusal.headers_mut().insert("cf-queues-error-code", code.into());
                refusal.headers_mut().insert("cf-queues-error-cause", "No (really)".parse().unwrap());
            }
            return refusal;
        }
    };
    let format = headers.get("x-msg-fmt").map(|format| format.to_str().unwrap().to_owned());
    *peer.formats.lock().unwrap().entry(format.unwrap_or_default()).or_default() += 1;
    peer.messages.lock().unwrap().push(message);
    body.into_response()
}
