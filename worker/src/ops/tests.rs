//! The ops port over engines in memory. Each test has its own recorder of metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower::Service;

use super::{AclHealth, OpsServer, metric};
use chargegate_storage::StoreError;
use chargegate_storage::testing::{
    EventJournal, MemoryQueue, MemoryStore, effects, message, queue_unavailable,
};

struct OpsHarness {
    ops: OpsServer,
    queue: Arc<MemoryQueue>,
    store: Arc<MemoryStore>,
}

impl OpsHarness {
    fn new(recorder: &PrometheusRecorder) -> Self {
        let queue = Arc::new(MemoryQueue::default());
        let store = Arc::new(MemoryStore::new(EventJournal::default()));
        let ops = OpsServer::new(queue.clone(), store.clone(), recorder.handle());
        ops.set_ready(true);
        Self { ops, queue, store }
    }

    async fn ask(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.ops.clone().router().call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[track_caller]
    fn enqueue(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.queue.enqueue(&message(n, effects().clock.now()));
        }
    }
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

#[tokio::test]
async fn health_needs_no_engine() {
    let harness = OpsHarness::new(&recorder());
    harness.queue.fail_leases([queue_unavailable()]);
    harness.ops.set_ready(false);
    assert_eq!(harness.ask("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
}

#[tokio::test]
async fn readiness_requires_a_running_worker_and_working_engines() {
    let harness = OpsHarness::new(&recorder());
    assert_eq!(harness.ask("/readyz").await.0, StatusCode::OK);
    harness.ops.set_ready(false);
    assert_eq!(harness.ask("/readyz").await.0, NOT_READY, "the worker does not run");
    harness.ops.set_ready(true);

    harness.queue.fail_leases([queue_unavailable()]);
    let (status, body) = harness.ask("/readyz").await;
    assert_eq!(status, NOT_READY, "the queue fails: {body}");
    harness.store.fail_reports([StoreError::Full]);
    let (status, body) = harness.ask("/readyz").await;
    assert_eq!(status, NOT_READY, "the store fails: {body}");

    // The capacity of the queue of these tests is three.
    harness.enqueue(0..2);
    assert_eq!(harness.ask("/readyz").await.0, StatusCode::OK);
    harness.enqueue(2..3);
    let (status, body) = harness.ask("/readyz").await;
    assert_eq!(status, NOT_READY);
    assert!(body.contains(r#""queue":"full""#), "{body}");
}

#[tokio::test]
async fn problems_with_certificates_are_reported_and_leave_the_worker_ready() {
    let mut harness = OpsHarness::new(&recorder());
    assert!(!harness.ask("/readyz").await.1.contains("acl"));
    let health = AclHealth::default();
    harness.ops = harness.ops.clone().with_acl(health.clone());
    assert!(harness.ask("/readyz").await.1.contains(r#""acl":"ok""#));
    health.tls_failed("unknown issuer");
    let (status, body) = harness.ask("/readyz").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains(r#""acl":"TLS: unknown issuer""#), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_hung_engine_does_not_block_readiness_or_metrics() {
    let harness = OpsHarness::new(&recorder());
    harness.store.hang();
    let begin = tokio::time::Instant::now();
    let (status, body) = harness.ask("/readyz").await;
    assert_eq!(status, NOT_READY);
    assert!(body.contains(r#""store":"does not answer""#), "{body}");
    assert!(begin.elapsed() <= Duration::from_secs(3));
    assert_eq!(harness.ask("/metrics").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_exist_from_the_first_scrape_and_show_the_engines() {
    let recorder = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    metric::describe();
    let harness = OpsHarness::new(&recorder);
    harness.enqueue(0..2);
    let (status, body) = harness.ask("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        "# TYPE chargegate_decisions_late_total counter",
        "chargegate_decisions_late_total 0",
        "chargegate_duplicates_total 0",
        "chargegate_redelivered_total 0",
        "chargegate_acl_retries_total 0",
        "chargegate_acl_in_flight 0",
        "chargegate_window_in_use 0",
        "chargegate_callbacks_delivered_total 0",
        "chargegate_callbacks_under_way 0",
        "chargegate_engine_failures_total 0",
        "chargegate_queue_waiting 2",
        "chargegate_queue_limit 3",
        "chargegate_callbacks_pending 0",
        "chargegate_callbacks_dead 0",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} in {body}");
    }
}
