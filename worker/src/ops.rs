//! The ops port: health, readiness, metrics, and the routes of operators.

mod operators;
mod token;

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

pub use self::token::{OperatorToken, OperatorTokenError, OperatorTokenFault};
use crate::authorizer::AclHealth;
use crate::metric;
use chargegate_storage::Effects;
use chargegate_storage::operate::Operators;
use chargegate_storage::queue::Queue;
use chargegate_storage::store::Store;

/// Longest check of one engine.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which metric samples are folded into buckets.
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// State behind the ops port.
#[derive(Clone)]
pub struct OpsServer {
    queue: Arc<dyn Queue>,
    /// `None` in a process that runs an edge only.
    store: Option<Arc<dyn Store>>,
    acl: Option<AclHealth>,
    metrics: PrometheusHandle,
    ready: Arc<AtomicBool>,
    /// Routes of operators.
    operators: Router,
}

/// Metrics that were already installed in this process.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be set up")]
pub struct MetricsError(#[from] BuildError);

/// Starts collecting metrics in this process.
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
    tokio::spawn(fold_samples(handle.clone()));
    Ok(handle)
}

/// Folds samples into their buckets even when nothing scrapes the metrics: unfolded samples use memory.
async fn fold_samples(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

impl OpsServer {
    /// Creates the ops port of a worker over these engines; not ready until [`OpsServer::set_ready`].
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, store: Arc<dyn Store>, metrics: PrometheusHandle) -> Self {
        Self {
            queue,
            store: Some(store),
            acl: None,
            metrics,
            ready: Arc::default(),
            operators: Router::new(),
        }
    }

    /// Creates the ops port of a process that runs an edge only; not ready until [`OpsServer::set_ready`].
    #[must_use]
    pub fn for_edge(queue: Arc<dyn Queue>, metrics: PrometheusHandle) -> Self {
        Self { queue, store: None, acl: None, metrics, ready: Arc::default(), operators: Router::new() }
    }

    /// Also reports problems with the certificates and the credential of the authorization service. They do not make
    /// the process unready: another worker would have them too.
    #[must_use]
    pub fn with_acl(self, health: AclHealth) -> Self {
        Self { acl: Some(health), ..self }
    }

    /// Adds the routes of operators over a store, which require the token; none without a token.
    #[must_use]
    pub fn with_operators(
        self,
        operators: Operators,
        token: Option<OperatorToken>,
        effects: Effects,
    ) -> Self {
        match token {
            Some(token) => Self { operators: operators::router(operators, token, effects), ..self },
            None => self,
        }
    }

    /// Sets whether the process accepts work: true after the start, false from the beginning of a shutdown.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Returns the routes of the port.
    pub fn router(self) -> Router {
        let operators = self.operators.clone();
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render))
            .with_state(self)
            .merge(operators)
    }

    /// Checks the engines and updates the gauges of their levels.
    async fn check(&self) -> ReadinessReport {
        let depth = tokio::time::timeout(CHECK_TIMEOUT, self.queue.depth());
        let backlog = async {
            let store = self.store.as_ref()?;
            Some(tokio::time::timeout(CHECK_TIMEOUT, store.backlog()).await)
        };
        let (depth, backlog) = tokio::join!(depth, backlog);
        let queue = match depth {
            Ok(Ok(depth)) => {
                metric::set_gauge(metric::QUEUE_WAITING, depth.waiting);
                // A worker without an edge in its process does not know the limit.
                if depth.limit < u64::MAX {
                    metric::set_gauge(metric::QUEUE_LIMIT, depth.limit);
                }
                if depth.waiting < depth.limit { OK } else { "full" }
            }
            _ => NO_RESPONSE,
        };
        let store = backlog.map(|backlog| match backlog {
            Ok(Ok(backlog)) => {
                metric::set_gauge(metric::CALLBACKS_PENDING, backlog.in_flight);
                metric::set_gauge(metric::DEAD_LETTERS, backlog.dead);
                OK
            }
            _ => NO_RESPONSE,
        });
        let process = if self.ready.load(Ordering::Relaxed) { OK } else { "not running" };
        let (edge, worker) = if self.store.is_some() { (None, Some(process)) } else { (Some(process), None) };
        let acl = self.acl.as_ref().map(|acl| acl.problems().unwrap_or_else(|| OK.to_owned()));
        ReadinessReport { edge, worker, queue, store, acl }
    }
}

const OK: &str = "ok";
const NO_RESPONSE: &str = "does not answer";

/// State of each part, as the body of `/readyz`.
#[derive(Serialize)]
struct ReadinessReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'static str>,
    queue: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    /// Problems with certificates and the credential; without effect on the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    acl: Option<String>,
}

async fn readyz(State(ops): State<OpsServer>) -> Response {
    let check = ops.check().await;
    let parts = [check.edge, check.worker, Some(check.queue), check.store];
    let ready = parts.into_iter().flatten().all(|state| state == OK);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(check)).into_response()
}

async fn render(State(ops): State<OpsServer>) -> Response {
    ops.check().await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], ops.metrics.render()).into_response()
}

#[cfg(test)]
mod tests;
