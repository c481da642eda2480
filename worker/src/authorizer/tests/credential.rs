//! The credential and its file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::DecisionStatus;
use http::HeaderName;
use tokio::io::AsyncWriteExt as _;

use super::{ALLOWED, JSON, LONG, MovableName, answer, ask_with, open, pass, settings};
use crate::authorizer::{
    AclCallError, AclClientError, AclClientSettings, AclCredential, AclFile, HttpAuthorizer,
};
use chargegate_storage::testing::{HostileServer, effects, read_request};

/// Starts a service that answers requests with one of these header lines and refuses others.
async fn accepting(headers: &'static [&'static str]) -> HostileServer {
    HostileServer::start(async move |mut stream, _| {
        while let Some(request) = read_request(&mut stream).await {
            let accepted = request.lines().any(|line| headers.contains(&line));
            let status = if accepted { "200 OK" } else { "401 Unauthorized" };
            let _ = stream.write_all(answer(status, JSON, ALLOWED).as_bytes()).await;
        }
    })
    .await
}

fn with_credential(port: u16, file: &Path, header: Option<&'static str>) -> AclClientSettings {
    let header = header.map(HeaderName::from_static);
    AclClientSettings {
        credential: Some(AclCredential { file: file.to_owned(), header }),
        ..settings(&format!("http://127.0.0.1:{port}"))
    }
}

const OK: Result<DecisionStatus, AclCallError> = Ok(DecisionStatus::Allowed);

#[tokio::test]
async fn a_token_is_sent_as_bearer_or_alone_in_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "  secret-1\n").unwrap();
    for (header, line) in [
        (None, "authorization: Bearer secret-1"),
        (Some("authorization"), "authorization: Bearer secret-1"),
        (Some("x-api-key"), "x-api-key: secret-1"),
    ] {
        let lines: &'static [&'static str] = Box::leak(Box::new([line]));
        let peer = accepting(lines).await;
        let authorizer = open(with_credential(peer.port(), &file, header)).await;
        assert_eq!(ask_with(&authorizer, LONG).await, OK, "{line}");
    }
}

#[tokio::test]
async fn a_changed_file_is_used_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let peer = HostileServer::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let _ = sender.send(request.lines().any(|line| line.ends_with("Bearer second-token")));
                let _ = stream.write_all(answer("200 OK", JSON, ALLOWED).as_bytes()).await;
            }
        }
    })
    .await;
    let authorizer = open(with_credential(peer.port(), &file, None)).await;
    std::fs::write(&file, "second-token").unwrap();
    for second in [0, 1] {
        pass(Duration::from_secs(second)).await;
        assert_eq!(ask_with(&authorizer, LONG).await, OK);
        assert_eq!(requests.recv().await, Some(second == 1));
    }
    // Not yet a second after the last look.
    std::fs::write(&file, "third").unwrap();
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    assert_eq!(requests.recv().await, Some(true));
}

#[tokio::test]
async fn a_refusal_is_reported_until_the_token_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let peer = accepting(&["authorization: Bearer second-token"]).await;
    let authorizer = open(with_credential(peer.port(), &file, None)).await;
    assert_eq!(ask_with(&authorizer, LONG).await, Err(AclCallError::Status(401)));
    assert_eq!(
        authorizer.health().problems().unwrap(),
        "the authorization service refuses the credential (status 401)"
    );
    std::fs::write(&file, "second-token").unwrap();
    pass(Duration::from_secs(1)).await;
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    assert_eq!(authorizer.health().problems(), None);
}

#[tokio::test]
async fn a_refused_token_is_read_again_at_once_and_the_call_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "token-1").unwrap();
    let peer = accepting(&["authorization: Bearer token-2"]).await;
    let authorizer = open(with_credential(peer.port(), &file, None)).await;
    // The same length, and perhaps the same time: only its content tells it apart.
    std::fs::write(&file, "token-2").unwrap();
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn an_unusable_file_leaves_the_last_token_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "token-1").unwrap();
    let peer = accepting(&["authorization: Bearer token-1"]).await;
    let authorizer = open(with_credential(peer.port(), &file, None)).await;
    let problem = async || {
        pass(Duration::from_secs(1)).await;
        assert_eq!(ask_with(&authorizer, LONG).await, OK);
        authorizer.health().problems()
    };
    std::fs::remove_file(&file).unwrap();
    assert!(problem().await.unwrap().contains("token: cannot be read"));
    std::fs::write(&file, " \n ").unwrap();
    assert!(problem().await.unwrap().ends_with("token: is empty"));
    std::fs::write(&file, "token-1").unwrap();
    assert_eq!(problem().await, None);
}

#[tokio::test]
async fn the_start_refuses_an_unusable_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let refusal = async || {
        let resolver = Arc::new(MovableName::at([127, 0, 0, 1]));
        match HttpAuthorizer::open(with_credential(1, &file, None), resolver, effects()).await {
            Err(AclClientError::File(error)) => {
                assert_eq!((error.file, &error.path), (AclFile::Credential, &file));
                error.fault.to_string()
            }
            _ => panic!("opened"),
        }
    };
    assert!(refusal().await.starts_with("cannot be read"));
    for (content, reason) in [
        (Vec::new(), "is empty"),
        (b"two\nlines".to_vec(), "contains a line break"),
        (vec![0xff], "contains a line break"),
        (vec![b'x'; 16 * 1024 + 1], "is larger than 16384 bytes"),
    ] {
        std::fs::write(&file, content).unwrap();
        let refused = refusal().await;
        assert!(refused.starts_with(reason), "{refused}");
    }
}
