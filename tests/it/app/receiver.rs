//! A scripted receiver of callbacks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::TEST_DEADLINE;

/// A callback receiver with scripted answers.
#[derive(Clone)]
pub(crate) struct CallbackReceiver {
    shared: Arc<ReceiverState>,
    pub(crate) port: u16,
}

struct ReceiverState {
    received: Mutex<HashMap<String, Vec<CallbackRecord>>>,
    answers: Mutex<HashMap<String, VecDeque<Option<u16>>>>,
    received_count: watch::Sender<usize>,
}

/// A callback as received.
#[derive(Clone, Debug)]
pub(crate) struct CallbackRecord {
    pub(crate) body: String,
    pub(crate) headers: HeaderMap,
}

impl CallbackRecord {
    pub(crate) fn status(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }
}

impl CallbackReceiver {
    /// Starts on a free port with the default answer 204.
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(ReceiverState {
            received: Mutex::default(),
            answers: Mutex::default(),
            received_count: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().fallback(any(receive)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { shared, port }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sets the answers to the next callbacks to `path`: a status, or `None` for no answer.
    pub(crate) fn set_answers(&self, path: &str, answers: &[Option<u16>]) {
        self.shared.answers.lock().entry(path.to_owned()).or_default().extend(answers);
    }

    /// Returns the callbacks to `path` so far.
    pub(crate) fn received(&self, path: &str) -> Vec<CallbackRecord> {
        self.shared.received.lock().get(path).cloned().unwrap_or_default()
    }

    /// Returns the received statuses by path.
    pub(crate) fn statuses(&self) -> HashMap<String, Vec<String>> {
        let received = self.shared.received.lock();
        received
            .iter()
            .map(|(path, all)| (path.clone(), all.iter().map(CallbackRecord::status).collect()))
            .collect()
    }

    /// Waits until `count` callbacks to `path` have arrived.
    pub(crate) async fn wait(&self, path: &str, count: usize) -> Vec<CallbackRecord> {
        let mut grown = self.shared.received_count.subscribe();
        let enough = timeout(TEST_DEADLINE, grown.wait_for(|_| self.received(path).len() >= count)).await;
        assert!(enough.is_ok(), "{count} callbacks to {path} never arrived: {:?}", self.received(path));
        self.received(path)
    }
}

async fn receive(
    State(shared): State<Arc<ReceiverState>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let path = uri.path().to_owned();
    let callback = CallbackRecord { body, headers };
    shared.received.lock().entry(path.clone()).or_default().push(callback);
    shared.received_count.send_modify(|count| *count += 1);
    let answer = shared.answers.lock().get_mut(&path).and_then(VecDeque::pop_front);
    match answer {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(Some(status)) => {
            let location = [("location", HeaderValue::from_static("/redirected"))];
            (StatusCode::from_u16(status).unwrap(), location).into_response()
        }
        Some(None) => std::future::pending().await,
    }
}
