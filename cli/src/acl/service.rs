//! The authorization service over HTTP.

mod response;
mod simulator;
mod stats;
mod stats_page;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chargegate_core::DecisionStatus;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::response::{connection_cut, problem};
use self::simulator::{AclSimulator, SimulatedOutcome};
use self::stats::{AclCallEnd, AclCallGuard, AclCallStats, MAX_SECONDS};
use self::stats_page::AclStatsPage;
use super::reload::CurrentAclTable;
use super::simulation::AclSimulation;
use super::table::{AclStationId, AclTable};
use crate::system::WallClock;

/// The largest request that is read.
const MAX_BODY_BYTES: usize = 8 * 1024;
/// Number of seconds that `GET /stats` shows by default.
const DEFAULT_STATS_SECONDS: usize = 60;

/// The reference authorization service.
pub(crate) struct AclService {
    table: CurrentAclTable,
    clock: WallClock,
    simulator: AclSimulator,
}

impl AclService {
    /// Creates a service that answers from `table` and behaves as `simulation` describes.
    pub(crate) fn new(table: AclTable, simulation: AclSimulation, clock: WallClock, random: StdRng) -> Self {
        let stats = AclCallStats::new(simulation.capacity, clock());
        let simulator = AclSimulator::new(simulation, random, stats);
        Self { table: CurrentAclTable::new(table), clock, simulator }
    }

    /// Returns the table in use.
    pub(super) fn table(&self) -> CurrentAclTable {
        self.table.clone()
    }

    /// Works on a call to its end, and answers it if its caller still waits.
    async fn work(&self, call: AclCallGuard, query: AuthorizationQuery, answer: oneshot::Sender<AclAnswer>) {
        let outcome = match self.simulator.work(&call).await {
            SimulatedOutcome::Done => {
                let now = (self.clock)();
                let status = self.table.get().authorize(query.station_id, &query.driver_token, now);
                AclAnswer::Status(status)
            }
            SimulatedOutcome::Failed(None) => AclAnswer::Error(StatusCode::INTERNAL_SERVER_ERROR, None),
            SimulatedOutcome::Failed(retry_after) => {
                AclAnswer::Error(StatusCode::TOO_MANY_REQUESTS, retry_after)
            }
            SimulatedOutcome::Refused(retry_after) => {
                AclAnswer::Error(StatusCode::SERVICE_UNAVAILABLE, retry_after)
            }
            // Dropping the sender cuts the connection.
            SimulatedOutcome::Hung => return call.finish(AclCallEnd::Unanswered),
        };
        // Counted before the answer, so that a caller finds its own call among the answered ones.
        call.finish(match outcome {
            _ if answer.is_closed() => AclCallEnd::Unanswered,
            AclAnswer::Status(_) => AclCallEnd::Answered,
            AclAnswer::Error(..) => AclCallEnd::Failed,
        });
        let _ = answer.send(outcome);
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

/// Answer to a call.
enum AclAnswer {
    /// 200 with this status.
    Status(DecisionStatus),
    /// An error, with a `Retry-After` in seconds.
    Error(StatusCode, Option<u32>),
}

impl IntoResponse for AclAnswer {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status) => {
                axum::Json(serde_json::json!({"status": status.as_str()})).into_response()
            }
            Self::Error(status, retry_after) => {
                let mut response = problem(status, "the service simulates a failure or an overload");
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                response
            }
        }
    }
}

async fn authorize(
    State(acl): State<Arc<AclService>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let call = acl.simulator.stats.start_call();
    let query = match read_query(&headers, body) {
        Ok(query) => query,
        Err((status, detail)) => {
            call.finish(AclCallEnd::Failed);
            return problem(status, detail);
        }
    };
    let (sender, answer) = oneshot::channel();
    // A service does not notice that its caller hung up: the call is worked on to its end.
    tokio::spawn(async move { acl.work(call, query, sender).await });
    answer.await.map_or_else(|_| connection_cut(), IntoResponse::into_response)
}

fn read_query(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<AuthorizationQuery, (StatusCode, &'static str)> {
    if media_ranges(headers, &CONTENT_TYPE).next().as_deref() != Some("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "the body must not exceed 8 KiB"),
        _ => (StatusCode::BAD_REQUEST, "the body could not be read"),
    })?;
    // The parser's message could repeat the token, so it is not passed on.
    serde_json::from_slice(&body).map_err(|error| {
        if error.is_data() {
            let wanted = "station_id must be a UUID and driver_token a string, each given once";
            (StatusCode::UNPROCESSABLE_ENTITY, wanted)
        } else {
            (StatusCode::BAD_REQUEST, "the body is not JSON")
        }
    })
}

#[derive(Deserialize)]
struct StatsQuery {
    seconds: Option<usize>,
}

async fn stats(
    State(acl): State<Arc<AclService>>,
    headers: HeaderMap,
    query: Result<Query<StatsQuery>, QueryRejection>,
) -> Response {
    let seconds = query.map(|Query(query)| query.seconds.unwrap_or(DEFAULT_STATS_SECONDS));
    let Ok(seconds @ ..=MAX_SECONDS) = seconds else {
        return problem(StatusCode::BAD_REQUEST, "seconds must be a number from 0 to 300");
    };
    let figures = acl.simulator.stats.figures(seconds);
    if media_ranges(&headers, &ACCEPT).any(|range| range == "text/html") {
        axum::response::Html(AclStatsPage(&figures).to_string()).into_response()
    } else {
        axum::Json(figures).into_response()
    }
}

/// Returns the media types that a header lists, in lower case and without their parameters (RFC 9110 section 8.3.1).
fn media_ranges(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let ranges = texts.flat_map(|text| text.split(','));
    ranges.map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
