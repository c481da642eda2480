//! The record of one call.

use chargegate_core::{DecisionStatus, Traceparent};

use super::{ALLOWED, JSON, LONG, SHORT, STATION, TOKEN, answer, open, settings};
use crate::authorizer::{
    AclCallError, AclCheckReport, AclCheckResponse, AclClientSettings, AclCredential, AuthorizationRequest,
};
use chargegate_storage::testing::HostileServer;

async fn check(port: u16, timeout: std::time::Duration) -> AclCheckReport {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "credential-1").unwrap();
    let credential = Some(AclCredential { file, header: None });
    let settings = AclClientSettings { credential, ..settings(&format!("http://127.0.0.1:{port}")) };
    let (station_id, driver_token) = (STATION.parse().unwrap(), TOKEN.parse().unwrap());
    let traceparent = Traceparent::new([7; 16], [9; 8]);
    let request = AuthorizationRequest { station_id: &station_id, driver_token: &driver_token, traceparent };
    let report = open(settings).await.check(request, "driv***", timeout).await;
    let shown = format!("{report:?}");
    assert!(!shown.contains(TOKEN) && !shown.contains("credential-1"), "{shown}");
    report
}

#[tokio::test]
async fn an_answer_is_explained_without_secrets() {
    let peer = HostileServer::answering(answer("200 OK", JSON, ALLOWED)).await;
    let report = check(peer.port(), LONG).await;
    assert_eq!(report.request_line, format!("POST http://127.0.0.1:{}/v1/authorizations", peer.port()));
    let body = format!(r#"{{"station_id":"{STATION}","driver_token":"driv***"}}"#);
    assert_eq!(report.body.as_ref(), Some(&body));
    assert!(report.headers.iter().any(|header| header.starts_with("authorization: (from ")), "{report:?}");
    assert_eq!(report.response, Some(AclCheckResponse { status: 200, media_type: JSON.to_owned() }));
    assert_eq!(report.steps.last().unwrap(), "/status is \"allowed\", which means: allowed");
    assert_eq!((report.result, report.failure), (Ok(DecisionStatus::Allowed), None));
}

#[tokio::test]
async fn a_failure_names_its_cause() {
    let report = check(HostileServer::refusing().await, LONG).await;
    assert_eq!((report.result, &report.response), (Err(AclCallError::Unreachable), &None));
    // A listener that has just ended resets what it did not accept.
    let cause = report.failure.as_ref().unwrap().to_lowercase();
    assert!(cause.contains("refused") || cause.contains("reset"), "{report:?}");

    let whole = answer("200 OK", JSON, ALLOWED);
    let peer = HostileServer::answering(&whole[..whole.len() - 1]).await;
    let report = check(peer.port(), LONG).await;
    assert_eq!(report.response.as_ref().map(|response| response.status), Some(200));
    assert!(report.failure.is_some(), "{report:?}");

    let report = check(HostileServer::hanging().await.port(), SHORT).await;
    assert_eq!((report.result, report.response), (Err(AclCallError::TimedOut), None));
}
