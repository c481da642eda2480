//! A scripted authorization service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Answer of the fake authorization service to its calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AuthorizerAnswer {
    /// This authorization status, immediately.
    Status(&'static str),
    /// `allowed` after a delay, with at most `capacity` calls at a time.
    Delayed { delay: Duration, capacity: usize },
    /// This HTTP status.
    Fail(u16),
    /// No answer.
    Hang,
}

/// A fake authorization service.
#[derive(Clone)]
pub(crate) struct FakeAuthorizationService {
    shared: Arc<AuthorizerState>,
    port: u16,
}

struct AuthorizerState {
    answer: Mutex<AuthorizerAnswer>,
    permits: Semaphore,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    answered: AtomicUsize,
    calls: Mutex<Vec<AuthorizerCall>>,
}

/// A call that the service received.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizerCall {
    pub(crate) body: Value,
    pub(crate) traceparent: Option<String>,
}

impl FakeAuthorizationService {
    /// Starts on a free port with the answer `allowed`.
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(AuthorizerState {
            answer: Mutex::new(AuthorizerAnswer::Status("allowed")),
            permits: Semaphore::new(0),
            in_flight: AtomicUsize::new(0),
            max_in_flight: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            calls: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/v1/authorizations", post(authorize)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { shared, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set_answer(&self, answer: AuthorizerAnswer) {
        if let AuthorizerAnswer::Delayed { capacity, .. } = answer {
            self.shared.permits.add_permits(capacity);
        }
        *self.shared.answer.lock() = answer;
    }

    pub(crate) fn calls(&self) -> Vec<AuthorizerCall> {
        self.shared.calls.lock().clone()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.shared.max_in_flight.load(Ordering::SeqCst)
    }

    /// Returns the number of calls that were answered before the client hung up.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }
}

/// Guard that counts a call until it ends, also if the client hangs up.
struct InFlightCall<'a>(&'a AuthorizerState);

impl<'a> InFlightCall<'a> {
    fn begin(shared: &'a AuthorizerState) -> Self {
        let now = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.max_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for InFlightCall<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn authorize(
    State(shared): State<Arc<AuthorizerState>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let _in_flight = InFlightCall::begin(&shared);
    let traceparent = headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned());
    shared.calls.lock().push(AuthorizerCall { body, traceparent });
    let answer = *shared.answer.lock();
    let reply = match answer {
        AuthorizerAnswer::Status(status) => Json(json!({ "status": status })).into_response(),
        AuthorizerAnswer::Delayed { delay, .. } => {
            let _permit = shared.permits.acquire().await.unwrap();
            tokio::time::sleep(delay).await;
            Json(json!({ "status": "allowed" })).into_response()
        }
        AuthorizerAnswer::Fail(status) => StatusCode::from_u16(status).unwrap().into_response(),
        AuthorizerAnswer::Hang => std::future::pending().await,
    };
    shared.answered.fetch_add(1, Ordering::SeqCst);
    reply
}
