use std::time::SystemTime;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower_service::Service as _;

use super::stats::AclCallCounts;
use super::*;

const QUERY: &str =
    r#"{"station_id":"6FA3C9BE-6d1f-4a3e-9d5b-2f0c8a7e1b42","driver_token":"driver-garage-00000000001"}"#;
const DELAY: Duration = Duration::from_millis(100);

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn acl() -> AclService {
    AclService::new(AclTable::sample(), clock)
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
    let (status, _, body) = call(&router(acl()), asked).await;
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
            call(&router(acl()), request(method, path, content_type, body.to_owned())).await;
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

#[tokio::test(start_paused = true)]
async fn without_a_capacity_delays_run_concurrently() {
    let router = router(acl().with_delay(DELAY));
    let begun = Instant::now();
    let answers = tokio::join!(ask(&router), ask(&router), ask(&router));
    assert_eq!(answers, (StatusCode::OK, StatusCode::OK, StatusCode::OK));
    assert_eq!(begun.elapsed(), DELAY);
}

#[tokio::test(start_paused = true)]
async fn a_capacity_makes_further_calls_wait() {
    let acl = acl().with_delay(DELAY).with_capacity(NonZeroUsize::MIN);
    let stats = Arc::clone(&acl.stats);
    let router = router(acl);
    let begun = Instant::now();
    tokio::join!(ask(&router), ask(&router), ask(&router));
    assert_eq!(begun.elapsed(), DELAY * 3);
    assert_eq!(stats.snapshot(), AclCallCounts { calls: 3, in_flight: 0, max_in_flight: 3 });
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_hung_up_is_not_in_flight_but_keeps_its_slot() {
    let acl = acl().with_delay(DELAY).with_capacity(NonZeroUsize::MIN);
    let stats = Arc::clone(&acl.stats);
    let router = router(acl);
    let begun = Instant::now();
    assert!(tokio::time::timeout(DELAY / 4, ask(&router)).await.is_err());
    assert_eq!(stats.snapshot(), AclCallCounts { calls: 1, in_flight: 0, max_in_flight: 1 });
    ask(&router).await;
    assert_eq!(begun.elapsed(), DELAY * 2);
}

#[tokio::test]
async fn stats_are_json() {
    let router = router(acl());
    ask(&router).await;
    let (status, _, body) = call(&router, request(Method::GET, "/stats", "", "")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"calls":1,"in_flight":0,"max_in_flight":1}"#));
}

#[tokio::test]
async fn the_server_stops_on_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    serve(listener, acl(), shutdown).await.unwrap();
}
