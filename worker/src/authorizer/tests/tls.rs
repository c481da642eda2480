//! TLS with an authority of its own and client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::DecisionStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ALLOWED, JSON, LONG, MovableName, answer, ask_with, open, pass, settings};
use crate::authorizer::{
    AclCallError, AclClientError, AclClientIdentity, AclClientSettings, AclFile, AclTlsFiles, HttpAuthorizer,
};
use crate::certificates::{Authority, Identity};
use chargegate_storage::testing::{HostileServer, effects};

const OK: Result<DecisionStatus, AclCallError> = Ok(DecisionStatus::Allowed);

/// Starts a service for `acl.test` with a certificate of `authority`. It requires client certificates of `clients`.
async fn service(authority: &Authority, name: &str, clients: Option<&Authority>) -> HostileServer {
    let acceptor = authority.acceptor(name, clients);
    HostileServer::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = Vec::new();
            while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                // The end of a body.
                if request.ends_with(b"}") {
                    request.clear();
                    let _ = stream.write_all(answer("200 OK", JSON, ALLOWED).as_bytes()).await;
                    let _ = stream.flush().await;
                }
            }
        }
    })
    .await
}

/// A folder with files for TLS.
struct TlsFolder(tempfile::TempDir);

impl TlsFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn identity(&self, identity: &Identity) -> AclClientIdentity {
        AclClientIdentity {
            certificate: self.write("client.pem", &identity.certificate),
            key: self.write("client.key", &identity.key),
        }
    }
}

fn with_tls(port: u16, ca: &Path, client: Option<AclClientIdentity>) -> AclClientSettings {
    AclClientSettings {
        tls: AclTlsFiles { ca: Some(ca.to_owned()), client },
        ..settings(&format!("https://acl.test:{port}"))
    }
}

#[tokio::test]
async fn a_service_with_a_private_authority_is_asked_with_a_client_certificate() {
    let (authority, clients, folder) = (Authority::new("first"), Authority::new("second"), TlsFolder::new());
    let peer = service(&authority, "acl.test", Some(&clients)).await;
    let ca = folder.write("ca.pem", &authority.pem());
    let client = folder.identity(&clients.sign("worker"));
    let authorizer = open(with_tls(peer.port(), &ca, Some(client))).await;
    for _ in 0..3 {
        assert_eq!(ask_with(&authorizer, LONG).await, OK);
    }
    assert_eq!((peer.connections(), authorizer.health().problems()), (1, None));

    // In TLS 1.3 the service refuses a client only after the client regards the connection as open.
    let without = open(with_tls(peer.port(), &ca, None)).await;
    assert_eq!(ask_with(&without, LONG).await, Err(AclCallError::Cut));
    let foreign = folder.identity(&authority.sign("worker"));
    let foreign = open(with_tls(peer.port(), &ca, Some(foreign))).await;
    assert_eq!(ask_with(&foreign, LONG).await, Err(AclCallError::Cut));
}

#[tokio::test]
async fn a_service_that_is_not_vouched_for_is_not_asked() {
    let (authority, other, folder) = (Authority::new("first"), Authority::new("second"), TlsFolder::new());
    let ca = folder.write("ca.pem", &authority.pem());
    let without_tls = HostileServer::start(async |mut stream, _| {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for (peer, reason) in [
        (service(&other, "acl.test", None).await, "UnknownIssuer"),
        (service(&authority, "else.test", None).await, "acl.test"),
        (without_tls, "corrupt message"),
    ] {
        let authorizer = open(with_tls(peer.port(), &ca, None)).await;
        assert_eq!(ask_with(&authorizer, LONG).await, Err(AclCallError::Unreachable), "{reason}");
        let problems = authorizer.health().problems().unwrap();
        assert!(problems.starts_with("TLS: ") && problems.contains(reason), "{problems}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up_before_a_long_timeout() {
    let (authority, folder) = (Authority::new("first"), TlsFolder::new());
    let ca = folder.write("ca.pem", &authority.pem());
    let (begun, mut handshakes) = tokio::sync::mpsc::unbounded_channel();
    let peer = HostileServer::start(move |mut stream, _| {
        let begun = begun.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = begun.send(());
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let authorizer = open(with_tls(peer.port(), &ca, None)).await;
    let asked = tokio::spawn(async move { ask_with(&authorizer, LONG).await });
    handshakes.recv().await.unwrap();
    pass(Duration::from_secs(5)).await;
    assert_eq!(asked.await.unwrap(), Err(AclCallError::Unreachable));
}

#[tokio::test]
async fn replaced_files_are_used_within_a_second_and_unusable_ones_are_not() {
    let (old, new, folder) = (Authority::new("first"), Authority::new("second"), TlsFolder::new());
    let peer = service(&new, "acl.test", None).await;
    let ca = folder.write("ca.pem", &old.pem());
    let authorizer = open(with_tls(peer.port(), &ca, None)).await;
    assert_eq!(ask_with(&authorizer, LONG).await, Err(AclCallError::Unreachable));
    folder.write("ca.pem", &format!("{}{}", old.pem(), new.pem()));
    pass(Duration::from_secs(1)).await;
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    assert_eq!(authorizer.health().problems(), None);

    folder.write("ca.pem", "half of a fi");
    pass(Duration::from_secs(1)).await;
    assert_eq!(ask_with(&authorizer, LONG).await, OK);
    let problems = authorizer.health().problems().unwrap();
    assert!(problems.contains("ca.pem: contains no certificate"), "{problems}");
}

#[tokio::test]
async fn the_start_refuses_unusable_files() {
    let (authority, folder) = (Authority::new("first"), TlsFolder::new());
    let good = authority.sign("worker");
    let (pem, key) = (good.certificate.as_str(), good.key.as_str());
    let stranger = authority.sign("worker").key;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let big = "x".repeat(2 * 1024 * 1024 + 1);
    let ca = authority.pem();
    for (ca, certificate, key, file, reason) in [
        ("", pem, key, AclFile::Ca, "contains no certificate"),
        (broken, pem, key, AclFile::Ca, "contains an unusable certificate"),
        (&big, pem, key, AclFile::Ca, "is larger than"),
        (&ca, key, key, AclFile::ClientCertificate, "contains no certificate"),
        (&ca, broken, key, AclFile::ClientCertificate, "contains an unusable certificate"),
        (&ca, pem, pem, AclFile::ClientKey, "contains no private key"),
        (&ca, pem, broken_key, AclFile::ClientKey, "contains an unusable private key"),
        (&ca, pem, &stranger, AclFile::ClientKey, "the private key does not belong"),
    ] {
        let ca = folder.write("ca.pem", ca);
        let client = folder.identity(&Identity { certificate: certificate.to_owned(), key: key.to_owned() });
        let resolver = Arc::new(MovableName::at([127, 0, 0, 1]));
        match HttpAuthorizer::open(with_tls(1, &ca, Some(client)), resolver, effects()).await {
            Err(AclClientError::File(error)) => {
                let fault = error.fault.to_string();
                assert!(error.file == file && fault.starts_with(reason), "{file}: {fault}, not {reason}");
            }
            _ => panic!("opened, although the {file} {reason}"),
        }
    }
}
