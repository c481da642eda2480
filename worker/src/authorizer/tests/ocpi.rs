//! An eMSP of OCPI 2.2.1, asked by the built-in profile.

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chargegate_core::DecisionStatus;
use serde_json::{Value, json};

use super::{AclProfile, LONG, STATION, TOKEN, ask_with, open, settings};
use crate::authorizer::{AclCallError, AclClientSettings, AclCredential};

/// Starts an eMSP whose answers are `status` and `body` for requests as the specification wants them.
async fn emsp(status: StatusCode, body: Value) -> u16 {
    let authorize = async move |Path(uid): Path<String>,
                                Query(query): Query<Vec<(String, String)>>,
                                headers: HeaderMap,
                                axum::Json(references): axum::Json<Value>| {
        assert_eq!(uid, TOKEN);
        assert_eq!(query, [("type".to_owned(), "RFID".to_owned())]);
        assert_eq!(headers["authorization"], "Token c2VjcmV0");
        assert_eq!(references, json!({"location_id": STATION}));
        assert_eq!(headers["x-correlation-id"], "07".repeat(16));
        assert_eq!(headers["x-request-id"], "09".repeat(8));
        (status, axum::Json(body))
    };
    let routes = Router::new().route("/ocpi/emsp/2.2.1/tokens/{uid}/authorize", post(authorize));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, routes).into_future());
    port
}

async fn check(status: StatusCode, body: Value, expected: Result<DecisionStatus, AclCallError>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "secret").unwrap();
    let port = emsp(status, body.clone()).await;
    let settings = AclClientSettings {
        profile: AclProfile::built_in("ocpi-2.2.1").unwrap(),
        credential: Some(AclCredential { file, header: None }),
        ..settings(&format!("http://127.0.0.1:{port}/ocpi/emsp/2.2.1/tokens"))
    };
    assert_eq!(ask_with(&open(settings).await, LONG).await, expected, "{status} {body}");
}

#[tokio::test]
async fn an_emsp_is_asked_and_understood() {
    let now = "2030-01-31T12:00:00Z";
    for (allowed, expected) in [
        ("ALLOWED", Ok(DecisionStatus::Allowed)),
        ("BLOCKED", Ok(DecisionStatus::NotAllowed)),
        ("EXPIRED", Ok(DecisionStatus::Invalid)),
        ("NO_CREDIT", Ok(DecisionStatus::NotAllowed)),
        ("NOT_ALLOWED", Ok(DecisionStatus::NotAllowed)),
        ("PERHAPS", Err(AclCallError::Unreadable)),
    ] {
        let body = json!({"data": {"allowed": allowed, "token": {"uid": TOKEN}}, "status_code": 1000, "timestamp": now});
        check(StatusCode::OK, body, expected).await;
    }
    let unknown = json!({"status_code": 2004, "status_message": "Unknown Token", "timestamp": now});
    check(StatusCode::NOT_FOUND, unknown, Ok(DecisionStatus::Invalid)).await;
}

#[tokio::test]
async fn errors_of_an_emsp_are_no_answer() {
    let allowed = |code: u16| json!({"data": {"allowed": "ALLOWED"}, "status_code": code});
    // A status code of a failure outweighs the data, and a 404 of a wrong URL has no status code.
    check(StatusCode::OK, allowed(2000), Err(AclCallError::Unreadable)).await;
    check(StatusCode::OK, allowed(3000), Err(AclCallError::Status(200))).await;
    check(StatusCode::NOT_FOUND, json!({"error": "no such page"}), Err(AclCallError::Status(404))).await;
    check(StatusCode::NOT_FOUND, allowed(1000), Err(AclCallError::Status(404))).await;
    check(StatusCode::UNAUTHORIZED, allowed(2001), Err(AclCallError::Status(401))).await;
    let overloaded = AclCallError::Overloaded { status: 503, retry_after: None };
    check(StatusCode::SERVICE_UNAVAILABLE, allowed(3000), Err(overloaded)).await;
}
