//! Receivers with TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chargegate_core::AddressPolicy;
use chargegate_storage::store::AttemptResult;
use chargegate_storage::testing::{HostileServer, effects, read_request};
use tokio::io::AsyncWriteExt as _;

use super::{FakeResolver, KEPT, LONG, job, post};
use crate::authorizer::AclClientIdentity;
use crate::callback::{CallbackClient, CallbackTls, CallbackTlsError, CallbackTlsFiles};
use crate::certificates::{Authority, Identity};

/// Starts a receiver with a certificate for `a.example`, which requires client certificates of `clients`.
async fn receiver(authority: &Authority, clients: Option<&Authority>) -> HostileServer {
    let acceptor = authority.acceptor("a.example", clients);
    HostileServer::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await
}

fn client(tls: &CallbackTls) -> CallbackClient {
    let names = ["a.example", "b.example"];
    let resolver = names.iter().fold(FakeResolver::default(), |all, name| all.with(name, &[&["127.0.0.1"]]));
    let policy = AddressPolicy::allowing("127.0.0.1").unwrap();
    CallbackClient::new(policy.into(), Arc::new(resolver), LONG, KEPT, tls, effects())
}

async fn results(tls: &CallbackTls, host: &str, peer: &HostileServer) -> Vec<AttemptResult> {
    let client = client(tls);
    let url = format!("https://{host}:{}/", peer.port());
    let mut results = Vec::new();
    for n in 1..=3 {
        results.push(post(&client, &job(n, &url), None).await.result);
    }
    results
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn only_a_trusted_certificate_for_the_host_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("receivers");
    let peer = receiver(&authority, None).await;
    let unreachable = [AttemptResult::Unreachable; 3];
    assert_eq!(results(&CallbackTls::public().unwrap(), "a.example", &peer).await, unreachable);
    let ca = Some(write(folder.path(), "ca.pem", &authority.pem()));
    let tls = CallbackTls::load(&CallbackTlsFiles { ca, client: None }).await.unwrap();
    let before = peer.connections();
    assert_eq!(results(&tls, "a.example", &peer).await, [AttemptResult::Answered(200); 3]);
    assert_eq!(peer.connections() - before, 2, "kept from the second call on");
    assert_eq!(results(&tls, "b.example", &peer).await, unreachable, "the certificate of another name");
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clients) = (Authority::new("receivers"), Authority::new("clients"));
    let peer = receiver(&authority, Some(&clients)).await;
    let ca = Some(write(folder.path(), "ca.pem", &authority.pem()));
    let Identity { certificate, key } = clients.sign("chargegate");
    let client = AclClientIdentity {
        certificate: write(folder.path(), "client.pem", &certificate),
        key: write(folder.path(), "client.key", &key),
    };
    let files = CallbackTlsFiles { ca, client: Some(client) };
    let tls = CallbackTls::load(&files).await.unwrap();
    assert_eq!(results(&tls, "a.example", &peer).await, [AttemptResult::Answered(200); 3]);
    let anonymous = CallbackTls::load(&CallbackTlsFiles { client: None, ..files }).await.unwrap();
    assert!(!results(&anonymous, "a.example", &peer).await.contains(&AttemptResult::Answered(200)));
}

#[tokio::test]
async fn an_unusable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Some(write(folder.path(), "ca.pem", "no certificate"));
    let failed = CallbackTls::load(&CallbackTlsFiles { ca, client: None }).await.unwrap_err();
    assert!(matches!(&failed, CallbackTlsError::File(error) if error.path.ends_with("ca.pem")), "{failed}");
}
