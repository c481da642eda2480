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
use chargegate_servers::{Binding, Broker, Worker, Workerd, workerd};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::host::support::{RawConnection, RawReply};

/// How long the queue is given.
pub(super) const TIMEOUT_VARIABLE: &str = "CHARGEGATE_ENQUEUE_TIMEOUT_MS";
/// Longer than a queue takes on a busy machine.
pub(super) const LONG_TIMEOUT: &str = "30000";

/// The edge, or the guest, as a worker that serves.
pub(crate) struct TestWorker(pub(crate) Workerd);

impl TestWorker {
    /// The edge, its queue at `broker`, which is given more time than a busy machine takes.
    pub(super) fn edge(broker: SocketAddr) -> Self {
        Self::edge_with_timeout(LONG_TIMEOUT, queue(broker))
    }

    /// The edge, which gives `queue` so many milliseconds.
    pub(super) fn edge_with_timeout(milliseconds: &str, queue: Binding) -> Self {
        let bindings = [("JOBS", queue), (TIMEOUT_VARIABLE, Binding::Text(milliseconds.to_owned()))];
        Self::start("CHARGEGATE_EDGE_WORKER", bindings)
    }

    /// The guest, its queue at `broker`.
    pub(super) fn guest(broker: SocketAddr) -> Self {
        Self::start("CHARGEGATE_GUEST_WORKER", [("JOBS", queue(broker))])
    }

    pub(crate) fn start<'a>(variable: &str, bindings: impl IntoIterator<Item = (&'a str, Binding)>) -> Self {
        let modules =
            env::var(variable).unwrap_or_else(|_| panic!("{variable} must name a worker's modules"));
        let bindings = bindings.into_iter().map(|(name, binding)| (name.to_owned(), binding)).collect();
        let worker = Worker { modules: PathBuf::from(modules), bindings };
        Self(Workerd::start(&workerd(), &worker).unwrap())
    }

    pub(super) async fn connect(&self) -> RawConnection {
        RawConnection::to(SocketAddr::from(([127, 0, 0, 1], self.0.port()))).await
    }

    /// One request on a connection of its own.
    pub(super) async fn get(&self, path: &str) -> RawReply {
        self.connect().await.get(path).await
    }
}

/// A queue whose messages go to `broker`.
pub(super) fn queue(broker: SocketAddr) -> Binding {
    Binding::Queue(Broker { address: broker, headers: Vec::new() })
}

/// What a [`FakeBroker`] answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BrokerVerdict {
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
pub(super) struct FakeBroker {
    verdict: Mutex<BrokerVerdict>,
    messages: Mutex<Vec<String>>,
    formats: Mutex<BTreeMap<String, usize>>,
    /// How many messages it leaves without an answer.
    hanging: watch::Sender<usize>,
}

impl FakeBroker {
    /// A broker on a free port.
    pub(super) async fn start() -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), Self::start_on(listener))
    }

    /// A broker where it is expected.
    pub(super) fn start_on(listener: TcpListener) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        let routes = Router::new().route("/message", post(take)).with_state(Arc::clone(&fake));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    pub(super) fn set_verdict(&self, verdict: BrokerVerdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    /// Waits until so many messages hang.
    pub(super) async fn wait_for_hanging(&self, messages: usize) {
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

async fn take(State(fake): State<Arc<FakeBroker>>, headers: HeaderMap, message: String) -> Response {
    const TAKEN: &str = r#"{"metadata":{"metrics":{"backlogCount":1,"backlogBytes":1}}}"#;
    let verdict = *fake.verdict.lock().unwrap();
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
    *fake.formats.lock().unwrap().entry(format.unwrap_or_default()).or_default() += 1;
    fake.messages.lock().unwrap().push(message);
    body.into_response()
}
