//! Running workers, and a scripted broker for their messages.

use std::collections::BTreeMap;
use std::env;
use std::future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chargegate_servers::{QueueBroker, WorkerBinding, WorkerdScript, WorkerdServer, workerd};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::host::support::{RawConnection, RawReply};

/// Variable with the timeout of an enqueue.
pub(super) const TIMEOUT_VARIABLE: &str = "CHARGEGATE_ENQUEUE_TIMEOUT_MS";
/// Timeout that suffices on a busy machine, in milliseconds.
pub(super) const LONG_TIMEOUT: &str = "30000";

/// The edge or the guest, running in workerd.
pub(crate) struct TestWorker(pub(crate) WorkerdServer);

impl TestWorker {
    /// Starts the edge with its queue at `broker` and a timeout that suffices on a busy machine.
    pub(super) fn edge(broker: SocketAddr) -> Self {
        Self::edge_with_timeout(LONG_TIMEOUT, queue(broker))
    }

    /// Starts the edge with this timeout for `queue`.
    pub(super) fn edge_with_timeout(milliseconds: &str, queue: WorkerBinding) -> Self {
        let bindings = [("JOBS", queue), (TIMEOUT_VARIABLE, WorkerBinding::Text(milliseconds.to_owned()))];
        Self::start("CHARGEGATE_EDGE_WORKER", bindings)
    }

    /// Starts the guest with its queue at `broker`.
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

    pub(super) async fn connect(&self) -> RawConnection {
        RawConnection::to(SocketAddr::from(([127, 0, 0, 1], self.0.port()))).await
    }

    /// Sends one request on a new connection.
    pub(super) async fn get(&self, path: &str) -> RawReply {
        self.connect().await.get(path).await
    }
}

/// Returns a binding to the queue at `broker`.
pub(super) fn queue(broker: SocketAddr) -> WorkerBinding {
    WorkerBinding::Queue(QueueBroker { address: broker, headers: Vec::new() })
}

/// Answer of a [`FakeBroker`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BrokerVerdict {
    /// Accepts the message.
    #[default]
    Accepts,
    /// Refuses the message with a status, and one of Cloudflare's codes if given.
    Refuses(u16, Option<u32>),
    /// Accepts the message with an unintelligible response.
    Garbles,
    /// Never answers.
    Hangs,
}

/// A scripted broker that keeps accepted messages.
#[derive(Default)]
pub(super) struct FakeBroker {
    verdict: Mutex<BrokerVerdict>,
    messages: Mutex<Vec<String>>,
    formats: Mutex<BTreeMap<String, usize>>,
    /// Number of messages without an answer.
    hanging: watch::Sender<usize>,
}

impl FakeBroker {
    /// Starts a broker on a free port.
    pub(super) async fn start() -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), Self::start_on(listener))
    }

    /// Starts a broker on this listener.
    pub(super) fn start_on(listener: TcpListener) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        let routes = Router::new().route("/message", post(take)).with_state(Arc::clone(&fake));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    pub(super) fn set_verdict(&self, verdict: BrokerVerdict) {
        *self.verdict.lock() = verdict;
    }

    /// Waits until this many messages hang.
    pub(super) async fn wait_for_hanging(&self, messages: usize) {
        self.hanging.subscribe().wait_for(|hanging| *hanging >= messages).await.unwrap();
    }

    /// Removes and returns the messages since the last call.
    pub(super) fn messages(&self) -> Vec<String> {
        std::mem::take(&mut self.messages.lock())
    }

    /// Returns the number of messages by format.
    pub(super) fn formats(&self) -> BTreeMap<String, usize> {
        self.formats.lock().clone()
    }
}

async fn take(State(fake): State<Arc<FakeBroker>>, headers: HeaderMap, message: String) -> Response {
    const TAKEN: &str = r#"{"metadata":{"metrics":{"backlogCount":1,"backlogBytes":1}}}"#;
    let verdict = *fake.verdict.lock();
    let body = match verdict {
        BrokerVerdict::Accepts => TAKEN,
        BrokerVerdict::Garbles => "so be it",
        BrokerVerdict::Hangs => {
            fake.hanging.send_modify(|hanging| *hanging += 1);
            return future::pending().await;
        }
        BrokerVerdict::Refuses(status, code) => {
            let mut refusal = StatusCode::from_u16(status).unwrap().into_response();
            if let Some(code) = code {
                refusal.headers_mut().insert("cf-queues-error-code", code.into());
                refusal.headers_mut().insert("cf-queues-error-cause", "No (really)".parse().unwrap());
            }
            return refusal;
        }
    };
    let format = headers.get("x-msg-fmt").map(|format| format.to_str().unwrap().to_owned());
    *fake.formats.lock().entry(format.unwrap_or_default()).or_default() += 1;
    fake.messages.lock().push(message);
    body.into_response()
}
