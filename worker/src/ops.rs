//! The ops port: health, readiness and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::metric;
use chargegate_storage::queue::Queue;
use chargegate_storage::store::Store;

/// No check of an engine takes longer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often samples are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What the ops port tells of.
#[derive(Clone)]
pub struct Ops {
    queue: Arc<dyn Queue>,
    /// An edge alone has none.
    store: Option<Arc<dyn Store>>,
    metrics: PrometheusHandle,
    ready: Arc<AtomicBool>,
}

/// Metrics were installed before in this process.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be set up")]
pub struct MetricsError(#[from] BuildError);

/// Starts to collect metrics in this process.
///
/// # Errors
/// [`MetricsError`] the second time.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn install_metrics() -> Result<PrometheusHandle, MetricsError> {
    let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)?
        .install_recorder()?;
    metric::describe();
    tokio::spawn(upkeep(handle.clone()));
    Ok(handle)
}

/// Folds samples into their buckets even where nobody scrapes: until then each one takes memory.
async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

impl Ops {
    /// The ops port of a worker over these engines; not ready until told.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, store: Arc<dyn Store>, metrics: PrometheusHandle) -> Self {
        Self { queue, store: Some(store), metrics, ready: Arc::default() }
    }

    /// The ops port of an edge that works by itself; not ready until told.
    #[must_use]
    pub fn of_edge(queue: Arc<dyn Queue>, metrics: PrometheusHandle) -> Self {
        Self { queue, store: None, metrics, ready: Arc::default() }
    }

    /// Says whether requests should be sent here: true after the start, false from the beginning of a stop.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render))
            .with_state(self)
    }

    /// Reads the levels of the engines into their gauges, and says what each is good for.
    async fn check(&self) -> Check {
        let depth = tokio::time::timeout(CHECK_TIMEOUT, self.queue.depth());
        let backlog = async {
            let store = self.store.as_ref()?;
            Some(tokio::time::timeout(CHECK_TIMEOUT, store.backlog()).await)
        };
        let (depth, backlog) = tokio::join!(depth, backlog);
        let queue = match depth {
            Ok(Ok(depth)) => {
                metric::level("chargegate_queue_waiting", depth.waiting);
                // A worker beside other edges does not know theirs.
                if depth.limit < u64::MAX {
                    metric::level("chargegate_queue_limit", depth.limit);
                }
                if depth.waiting < depth.limit { OK } else { "full" }
            }
            _ => SILENT,
        };
        let store = backlog.map(|backlog| match backlog {
            Ok(Ok(backlog)) => {
                metric::level("chargegate_callbacks_pending", backlog.in_flight);
                metric::level("chargegate_callbacks_dead", backlog.dead);
                OK
            }
            _ => SILENT,
        });
        let process = if self.ready.load(Ordering::Relaxed) { OK } else { "not running" };
        let (edge, worker) = if self.store.is_some() { (None, Some(process)) } else { (Some(process), None) };
        Check { edge, worker, queue, store }
    }
}

const OK: &str = "ok";
const SILENT: &str = "does not answer";

/// The state of each part in a word or two.
#[derive(Serialize)]
struct Check {
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'static str>,
    queue: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
}

async fn readyz(State(ops): State<Ops>) -> Response {
    let check = ops.check().await;
    let parts = [check.edge, check.worker, Some(check.queue), check.store];
    let ready = parts.into_iter().flatten().all(|state| state == OK);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(check)).into_response()
}

async fn render(State(ops): State<Ops>) -> Response {
    ops.check().await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], ops.metrics.render()).into_response()
}

#[cfg(test)]
mod tests;
