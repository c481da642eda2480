//! The load generator against correct and faulty edges.

mod edge;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::edge::{StubEdge, StubEdgeBehaviour};
use super::*;
use crate::send::client::ResponseLoss;

const REQUESTS: u64 = 20;

fn plan(url: &str, load: SendLoad) -> SendPlan {
    SendPlan {
        target: url.parse().unwrap(),
        driver_token: "driver-allowed-0000000001".into(),
        station_id: None,
        load,
        timeout: Duration::from_secs(20),
        wait: Duration::from_secs(20),
        connections: NonZeroUsize::new(4).unwrap(),
        callback_listen: "127.0.0.1:0".parse().unwrap(),
        callback_url: None,
    }
}

fn load() -> SendLoad {
    SendLoad::Steady { rate: NonZeroU32::new(1000).unwrap(), duration: Duration::from_millis(REQUESTS) }
}

async fn run(plan: SendPlan) -> SendRun {
    let listener = TcpListener::bind(plan.callback_listen).await.unwrap();
    SendRun::start(plan, listener, StdRng::seed_from_u64(1), CancellationToken::new()).unwrap()
}

/// Runs a short load against an edge and returns its report.
async fn report(behaviour: StubEdgeBehaviour, change: impl FnOnce(&mut SendPlan)) -> SendReport {
    let edge = StubEdge::spawn(behaviour).await;
    let mut plan = plan(&edge.url, load());
    change(&mut plan);
    let run = run(plan).await;
    run.send_all().await;
    let report = run.collect_report().await;
    assert_eq!(report.sent, report.accepted + report.refused + report.uncertain);
    assert_eq!(report.accepted, report.called_back + report.missing);
    report
}

fn shorten_wait(plan: &mut SendPlan) {
    plan.wait = Duration::from_millis(50);
}

#[tokio::test]
async fn a_correct_edge_gives_a_clean_report() {
    let report = report(StubEdgeBehaviour::Faithful, |_| {}).await;
    assert_eq!((report.sent, report.accepted, report.called_back), (REQUESTS, REQUESTS, REQUESTS));
    assert_eq!((report.missing, report.duplicated, report.contradictory), (0, 0, 0));
    assert_eq!(report.statuses.get("allowed"), Some(&REQUESTS));
    assert!(!report.is_failure());
}

#[tokio::test]
async fn the_json_has_exactly_the_documented_keys() {
    let report = report(StubEdgeBehaviour::Faithful, |_| {}).await.json();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let expected = [
        "accepted",
        "ack_ms",
        "callback_ms",
        "called_back",
        "contradictory",
        "duplicated",
        "missing",
        "refused",
        "sent",
        "statuses",
        "uncertain",
    ];
    assert_eq!(keys(&report), expected);
    for latency in ["ack_ms", "callback_ms"] {
        let percentiles = report.get(latency).unwrap();
        assert_eq!(keys(percentiles), ["max", "p50", "p90", "p99"]);
        assert!(percentiles.as_object().unwrap().values().all(|value| value.as_f64().unwrap() > 0.0));
    }
}

#[tokio::test]
async fn lost_callbacks_are_missing() {
    let report = report(StubEdgeBehaviour::Silent, shorten_wait).await;
    assert_eq!((report.accepted, report.called_back, report.missing), (REQUESTS, 0, REQUESTS));
    assert!(report.is_failure());
}

#[tokio::test]
async fn repeated_callbacks_are_counted_and_not_a_failure() {
    let report = report(StubEdgeBehaviour::Repeating, |_| {}).await;
    assert_eq!((report.called_back, report.duplicated, report.contradictory), (REQUESTS, REQUESTS, 0));
    assert!(!report.is_failure());
}

#[tokio::test]
async fn contradicting_callbacks_are_a_failure() {
    for behaviour in
        [StubEdgeBehaviour::DifferingCallbacks, StubEdgeBehaviour::WrongId, StubEdgeBehaviour::ExtraField]
    {
        let report = report(behaviour, |_| {}).await;
        assert_eq!((report.called_back, report.contradictory), (REQUESTS, REQUESTS), "{behaviour:?}");
        assert!(report.is_failure());
    }
}

#[tokio::test]
async fn refusals_do_not_fail_a_load() {
    let report = report(StubEdgeBehaviour::Refusing, |_| {}).await;
    assert_eq!((report.refused, report.accepted, report.called_back), (REQUESTS, 0, 0));
    assert!(!report.is_failure());
}

#[tokio::test]
async fn a_cut_response_is_uncertain_and_its_callback_is_attributed() {
    let report = report(StubEdgeBehaviour::Cutting, |_| {}).await;
    assert_eq!((report.uncertain, report.accepted, report.called_back), (REQUESTS, 0, 0));
    assert_eq!(report.statuses.get("allowed"), Some(&REQUESTS));
    assert!(!report.is_failure());
    let table = report.table().to_string();
    assert!(table.contains("cut: 20, called back without a 202: 20"), "{table}");
}

#[tokio::test]
async fn a_missing_response_is_uncertain_after_the_timeout() {
    let report = report(StubEdgeBehaviour::Hanging, |plan| plan.timeout = Duration::from_millis(50)).await;
    assert_eq!((report.uncertain, report.accepted), (REQUESTS, 0));
    assert!(report.table().to_string().contains("timed out: 20"));
}

#[tokio::test]
async fn a_refused_connection_is_uncertain() {
    let closed_address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let run = run(plan(&format!("http://{closed_address}"), SendLoad::Single)).await;
    assert_eq!(run.send_one().await.unwrap_err(), ResponseLoss::Connect);
    assert_eq!(run.collect_report().await.uncertain, 1);
}

#[tokio::test]
async fn latency_counts_from_the_planned_time() {
    // With one connection and 20 ms per response, 50 requests a second are served. Of 20 requests due within 20 ms,
    // the last waits for the 19 before it.
    let report = report(StubEdgeBehaviour::Slow(Duration::from_millis(20)), |plan| {
        plan.connections = NonZeroUsize::MIN;
    })
    .await;
    assert!(report.ack_ms.max.unwrap() >= 19.0 * 20.0, "{:?}", report.ack_ms);
    assert!(report.callback_ms.max.unwrap() >= 18.0 * 20.0, "{:?}", report.callback_ms);
}

#[tokio::test]
async fn a_connection_that_the_edge_closed_is_replaced() {
    let report = report(StubEdgeBehaviour::Closing, |plan| plan.connections = NonZeroUsize::MIN).await;
    assert_eq!((report.accepted, report.uncertain), (REQUESTS, 0));
}

#[tokio::test]
async fn a_stopped_run_still_reports() {
    let edge = StubEdge::spawn(StubEdgeBehaviour::Hanging).await;
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let run =
        SendRun::start(plan(&edge.url, load()), listener, StdRng::seed_from_u64(1), stop.clone()).unwrap();
    tokio::join!(run.send_all(), async { stop.cancel() });
    let report = run.collect_report().await;
    assert_eq!(report.uncertain, report.sent);
}

#[tokio::test]
async fn a_fixed_station_is_sent_unchanged() {
    let report =
        report(StubEdgeBehaviour::Faithful, |plan| plan.station_id = Some("Any-Station".into())).await;
    assert_eq!((report.called_back, report.contradictory), (REQUESTS, 0));
}
