//! The authorization service over HTTP.

mod stats;

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::stats::AclCallStats;
use super::table::{AclStationId, AclTable};
use crate::system::WallClock;

/// The largest request that is read.
const MAX_BODY_BYTES: usize = 8 * 1024;

/// The reference authorization service.
pub(crate) struct AclService {
    table: AclTable,
    clock: WallClock,
    delay: Duration,
    slots: Option<Arc<Semaphore>>,
    stats: Arc<AclCallStats>,
}

impl AclService {
    /// Creates a service that answers from `table` at once, without a limit of concurrency.
    pub(crate) fn new(table: AclTable, clock: WallClock) -> Self {
        Self { table, clock, delay: Duration::ZERO, slots: None, stats: Arc::default() }
    }

    /// Delays each answer by `delay`.
    pub(crate) fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Limits concurrent calls to `capacity`: with a delay, `capacity / delay` calls a second. Further calls wait.
    pub(crate) fn with_capacity(self, capacity: NonZeroUsize) -> Self {
        let slots = Semaphore::new(capacity.get().min(Semaphore::MAX_PERMITS));
        Self { slots: Some(Arc::new(slots)), ..self }
    }

    /// Waits for a slot and for the delay.
    async fn simulate_work(&self) {
        let slot = match &self.slots {
            None => None,
            Some(slots) => Arc::clone(slots).acquire_owned().await.ok(),
        };
        if self.delay.is_zero() {
            return;
        }
        let delay = self.delay;
        // A service does not notice that its caller hung up: the call keeps its slot for the full delay.
        let work = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            drop(slot);
        });
        let _ = work.await;
    }
}

/// Serves `acl` until `shutdown`.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    acl: AclService,
    shutdown: CancellationToken,
) -> io::Result<()> {
    crate::serve::serve(listener, router(acl), shutdown).await
}

fn router(acl: AclService) -> Router {
    Router::new()
        .route("/v1/authorizations", post(authorize))
        .route("/stats", get(stats))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || problem(StatusCode::NOT_FOUND, "the only resource is POST /v1/authorizations"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "the header Allow lists the methods")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(acl))
}

#[derive(Deserialize)]
struct AuthorizationQuery {
    station_id: AclStationId,
    driver_token: String,
}

async fn authorize(
    State(acl): State<Arc<AclService>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let _call = acl.stats.start_call();
    if !is_json(&headers) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let body = match body {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body must not exceed 8 KiB");
        }
        Err(_) => return problem(StatusCode::BAD_REQUEST, "the body could not be read"),
    };
    // The parser's message could repeat the token, so it is not passed on.
    let query: AuthorizationQuery = match serde_json::from_slice(&body) {
        Ok(query) => query,
        Err(error) if error.is_data() => {
            let wanted = "station_id must be a UUID and driver_token a string, each given once";
            return problem(StatusCode::UNPROCESSABLE_ENTITY, wanted);
        }
        Err(_) => return problem(StatusCode::BAD_REQUEST, "the body is not JSON"),
    };
    acl.simulate_work().await;
    let status = acl.table.authorize(query.station_id, &query.driver_token, (acl.clock)());
    axum::Json(serde_json::json!({"status": status.as_str()})).into_response()
}

async fn stats(State(acl): State<Arc<AclService>>) -> Response {
    axum::Json(acl.stats.snapshot()).into_response()
}

/// Returns whether the media type is JSON, ignoring its parameters (RFC 9110 section 8.3.1).
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Returns an error response in the form of RFC 9457.
fn problem(status: StatusCode, detail: &'static str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({"title": title, "status": status.as_u16(), "detail": detail});
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests;
