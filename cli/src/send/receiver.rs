//! The receiver of callbacks.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ledger::RequestLedger;

/// Size limit of a callback.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Receives callbacks at `/{run}/{request number}` until the guard is dropped. The name of the run distinguishes them
/// from callbacks of an earlier run on the same address.
pub(super) fn start(listener: TcpListener, run: String, ledger: Arc<RequestLedger>) -> DropGuard {
    let app = Router::new()
        .route("/{run}/{number}", post(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(CallbackEndpoint { run, ledger }));
    let stop = CancellationToken::new();
    tokio::spawn(crate::serve::serve(listener, app, stop.clone()));
    stop.drop_guard()
}

struct CallbackEndpoint {
    run: String,
    ledger: Arc<RequestLedger>,
}

async fn receive(
    State(receiver): State<Arc<CallbackEndpoint>>,
    Path((run, number)): Path<(String, u64)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> StatusCode {
    let at = Instant::now();
    let CallbackEndpoint { run: own_run, ledger } = &*receiver;
    if run != *own_run {
        ledger.record_stray();
        return StatusCode::NOT_FOUND;
    }
    let body = match body {
        Ok(body) => body,
        // Far more than three fields: the empty body is recorded as equally wrong.
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Bytes::new(),
        Err(error) => return error.status(),
    };
    let webhook_id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    if ledger.record_callback(number, at, webhook_id, &body).is_none() {
        ledger.record_stray();
        return StatusCode::NOT_FOUND;
    }
    StatusCode::NO_CONTENT
}
