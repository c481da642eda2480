mod simulated;

use std::time::{Duration, SystemTime};

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use rand::SeedableRng as _;
use tower_service::Service as _;

use super::stats::AclCallCounts;
use super::*;

const QUERY: &str =
    r#"{"station_id":"6FA3C9BE-6d1f-4a3e-9d5b-2f0c8a7e1b42","driver_token":"driver-garage-00000000001"}"#;

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn acl(simulation: AclSimulation) -> AclService {
    AclService::new(AclTable::sample(), simulation, clock, StdRng::seed_from_u64(7))
}

/// The routes of a service that simulates nothing.
fn plain_router() -> Router {
    router(acl(AclSimulation::default()))
}

fn request(method: Method, path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

async fn call(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = router.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(router: &Router) -> StatusCode {
    call(router, request(Method::POST, "/v1/authorizations", "application/json", QUERY)).await.0
}

#[tokio::test]
async fn the_answer_is_only_the_status() {
    let asked = request(Method::POST, "/v1/authorizations", "Application/JSON; charset=utf-8", QUERY);
    let (status, _, body) = call(&plain_router(), asked).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"status":"allowed"}"#));
}

#[tokio::test]
async fn bad_requests_get_a_problem_that_echoes_nothing() {
    let large = format!("{QUERY}{}", " ".repeat(MAX_BODY_BYTES));
    let fits = format!("{QUERY}{}", " ".repeat(MAX_BODY_BYTES - QUERY.len()));
    for (method, path, content_type, body, expected) in [
        (Method::POST, "/v1/authorizations", "application/json", fits.as_str(), 200),
        (Method::POST, "/v1/authorizations", "text/plain", QUERY, 415),
        (Method::POST, "/v1/authorizations", "application/jsonx", QUERY, 415),
        (Method::POST, "/v1/authorizations", "application/json", large.as_str(), 413),
        (Method::POST, "/v1/authorizations", "application/json", "", 400),
        (Method::POST, "/v1/authorizations", "application/json", "{secret", 400),
        (Method::POST, "/v1/authorizations", "application/json", "[]", 422),
        (
            Method::POST,
            "/v1/authorizations",
            "application/json",
            r#"{"station_id":"secret","driver_token":"x"}"#,
            422,
        ),
        (Method::POST, "/v1/authorizations", "application/json", r#"{"driver_token":"secret"}"#, 422),
        (Method::GET, "/v1/authorizations", "application/json", "", 405),
        (Method::POST, "/", "application/json", QUERY, 404),
    ] {
        let (status, headers, answer) =
            call(&plain_router(), request(method, path, content_type, body.to_owned())).await;
        assert_eq!(status.as_u16(), expected, "{body}");
        if expected != 200 {
            assert_eq!(headers.get(CONTENT_TYPE).unwrap(), "application/problem+json");
            assert!(
                answer.contains(&format!("\"status\":{expected}")) && !answer.contains("secret"),
                "{answer}"
            );
        }
        assert_eq!(headers.contains_key(http::header::ALLOW), expected == 405);
    }
}

async fn get_stats(path: &str, accept: &str) -> (StatusCode, HeaderMap, String) {
    let router = plain_router();
    ask(&router).await;
    let request = Request::get(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
    call(&router, request).await
}

#[tokio::test(start_paused = true)]
async fn stats_are_json_by_default() {
    let (status, _, body) = get_stats("/stats", "*/*").await;
    let second = r#"{"time":1800000000,"calls":1,"answered":1,"failed":0,"unanswered":0,"max_in_flight":1,"mean_in_flight":0.0,"mean_queue":0.0}"#;
    let totals =
        r#""calls":1,"in_flight":0,"max_in_flight":1,"answered":1,"failed":0,"unanswered":0,"capacity":null"#;
    assert_eq!((status, body), (StatusCode::OK, format!(r#"{{{totals},"seconds":[{second}]}}"#)));
}

#[tokio::test(start_paused = true)]
async fn stats_are_a_page_for_a_browser() {
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let (status, headers, body) = get_stats("/stats", accept).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers.get(CONTENT_TYPE).unwrap(), "text/html; charset=utf-8");
    assert!(body.contains("<tr><th>in flight at most</th><td>1</td></tr>"), "{body}");
    assert!(body.contains("<tr><td>08:00:00.000Z</td><td>1</td><td>1</td><td>0</td>"), "{body}");
}

#[tokio::test]
async fn stats_show_at_most_300_seconds() {
    for (query, expected) in [
        ("seconds=300", StatusCode::OK),
        ("seconds=301", StatusCode::BAD_REQUEST),
        ("seconds=x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(get_stats(&format!("/stats?{query}"), "*/*").await.0, expected, "{query}");
    }
}

#[tokio::test]
async fn a_bad_request_counts_as_a_failed_call() {
    let acl = acl(AclSimulation::default());
    let stats = Arc::clone(&acl.simulator.stats);
    call(&router(acl), request(Method::POST, "/v1/authorizations", "text/plain", QUERY)).await;
    assert_eq!(
        stats.totals(),
        AclCallCounts { calls: 1, failed: 1, max_in_flight: 1, ..AclCallCounts::default() }
    );
}

#[tokio::test]
async fn the_server_stops_on_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    serve(listener, acl(AclSimulation::default()), shutdown).await.unwrap();
}
