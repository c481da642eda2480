//! Configuration of the worker, and `edge/wrangler.toml`.

use std::fs;
use std::path::Path;

use chargegate_edge::EdgeSettings;
use chargegate_servers::{WorkerBinding, WorkerdServer};
use toml::{Table, Value};

use super::support::{FakeBroker, TIMEOUT_VARIABLE, TestWorker, queue};
use crate::host::support::bounded;
use crate::posts::{assert_accepted, assert_refused, post};

#[test]
fn a_worker_without_its_queue_reports_the_binding() {
    bounded(async {
        for bindings in [vec![], vec![("JOBS", WorkerBinding::Text("chargegate".into()))]] {
            let edge = TestWorker::start("CHARGEGATE_EDGE_WORKER", bindings);
            assert_refused(&edge.get("/healthz").await, "the binding JOBS must be a queue");
            assert_refused(&post(&mut edge.connect().await).await, "the binding JOBS must be a queue");
            let logged = "the binding JOBS must be a queue, by queues.producers in wrangler.toml";
            assert_eq!(edge.0.log().unwrap().matches(logged).count(), 2, "once for each");
        }
    });
}

#[test]
fn a_variable_may_be_text_a_number_or_a_switch() {
    bounded(async {
        let (broker, _peer) = FakeBroker::start().await;
        let edge = |json: &str| {
            let bindings = [("JOBS", queue(broker)), (TIMEOUT_VARIABLE, WorkerBinding::Json(json.into()))];
            TestWorker::start("CHARGEGATE_EDGE_WORKER", bindings)
        };
        assert_accepted(&post(&mut edge("30000").connect().await).await);
        for (json, accepts) in [("true", true), ("1", false)] {
            let switch = ("CHARGEGATE_CALLBACK_HTTPS_ONLY", WorkerBinding::Json(json.into()));
            let edge = TestWorker::start("CHARGEGATE_EDGE_WORKER", [("JOBS", queue(broker)), switch]);
            assert_eq!(edge.get("/healthz").await.status == 200, accepts, "{json}");
        }
        for malformed in ["0", "1.5", "[2000]", "true"] {
            let edge = edge(malformed);
            assert_refused(&edge.get("/healthz").await, TIMEOUT_VARIABLE);
            let logged = "CHARGEGATE_ENQUEUE_TIMEOUT_MS must be a number from 1 to 60000";
            assert!(edge.0.log().unwrap().contains(logged), "{malformed}");
        }
    });
}

#[test]
fn the_deployed_configuration_is_the_tested_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("edge/wrangler.toml")).unwrap();
    let manifest: Table = text.parse().unwrap();
    assert_eq!(manifest["compatibility_date"].as_str(), Some(WorkerdServer::COMPATIBILITY_DATE));
    assert_eq!(manifest["main"].as_str(), Some("../target/workers/index.js"));
    assert!(!manifest.contains_key("build"), "deploying builds nothing");
    let producers = manifest["queues"]["producers"].as_array().unwrap();
    let bindings: Vec<_> = producers.iter().map(|producer| producer["binding"].as_str()).collect();
    assert_eq!(bindings, [Some("JOBS")]);
    // Every variable is present as text with its default.
    let variables = manifest["vars"].as_table().unwrap();
    let mut names: Vec<_> = variables.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, EdgeSettings::VARIABLES);
    let lookup = |name: &str| variables.get(name).and_then(Value::as_str).map(str::to_owned);
    assert!(EdgeSettings::VARIABLES.into_iter().all(|name| lookup(name).is_some()));
    assert_eq!(EdgeSettings::read(lookup), Ok(EdgeSettings::default()));
}
