use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::super::credentials::{CredentialsError, FetchCredentials, FetchedCredentials};
use super::*;
use chargegate_storage::Effects;
use chargegate_storage::testing::{HostileServer, read_request};

const DEADLINE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1_000;

/// Gives one key after the other.
#[derive(Default)]
struct Keys(AtomicU64);

#[async_trait]
impl FetchCredentials for Keys {
    async fn fetch(&self) -> Result<FetchedCredentials, CredentialsError> {
        let id = format!("key{}", self.0.fetch_add(1, Ordering::SeqCst));
        Ok(FetchedCredentials { credentials: Credentials::new(&id, "s3cret", None).unwrap(), expires: None })
    }
}

fn api(peer: &HostileServer, source: impl FetchCredentials) -> SqsApi {
    let clock = Effects::system().clock;
    let queue = format!("sqs+http://127.0.0.1:{}/1/q?region=eu-west-1", peer.port()).parse().unwrap();
    let client = ServiceClient::new(1, MAX_ANSWER).unwrap();
    SqsApi::new(client, queue, CredentialsCache::new(source, Arc::clone(&clock)), clock)
}

async fn call(api: &SqsApi) -> Result<Value, SqsCallError> {
    api.call("ReceiveMessage", &json!({}), DEADLINE).await
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// A peer that does not take what these keys signed, and what it was sent.
async fn refusing(code: &'static str, keys: &'static [&str]) -> (HostileServer, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let peer = HostileServer::start(move |mut stream, _| {
        let noted = Arc::clone(&noted);
        async move {
            let Some(request) = read_request(&mut stream).await else { return };
            let refused = keys.iter().any(|key| request.contains(&format!("Credential={key}/")));
            noted.lock().push(request);
            let refusal = format!("<Error><Code>{code}</Code></Error>");
            let answer = if refused { answer(403, &refusal) } else { answer(200, r#"{"done":true}"#) };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (peer, requests)
}

#[tokio::test]
async fn a_call_is_made_once_more_with_other_credentials() {
    for code in ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"] {
        let (peer, requests) = refusing(code, &["key0"]).await;
        let api = api(&peer, Keys::default());
        assert_eq!(call(&api).await.unwrap(), json!({ "done": true }));
        assert_eq!(call(&api).await.unwrap(), json!({ "done": true }));
        assert_eq!(requests.lock().len(), 3, "the new ones are kept");
    }
}

#[tokio::test]
async fn a_call_is_made_no_more_often_than_that() {
    let (peer, requests) = refusing("ExpiredToken", &["key0", "key1", "key2"]).await;
    let refused = call(&api(&peer, Keys::default())).await;
    assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::Expired))), "{refused:?}");
    assert_eq!(requests.lock().len(), 2);
    let (peer, requests) = refusing("ExpiredToken", &["fixed"]).await;
    let refused = call(&api(&peer, Credentials::new("fixed", "s3cret", None).unwrap())).await;
    assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::Expired))), "{refused:?}");
    assert_eq!(requests.lock().len(), 1, "there are no others");
}

#[tokio::test]
async fn what_is_not_about_credentials_is_not_asked_again() {
    let (peer, requests) = refusing("AccessDenied", &["key0"]).await;
    let refused = call(&api(&peer, Keys::default())).await;
    assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::NotPermitted { .. }))), "{refused:?}");
    assert_eq!(requests.lock().len(), 1);
}

#[tokio::test]
async fn a_request_is_as_the_protocol_has_it() {
    let (peer, requests) = refusing("", &[]).await;
    let token = Credentials::new("id", "s3cret", Some("t0ken")).unwrap();
    call(&api(&peer, token)).await.unwrap();
    let request = requests.lock().remove(0);
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{}"), "{request}");
    for header in [
        format!("host: 127.0.0.1:{}\r\n", peer.port()),
        "content-type: application/x-amz-json-1.0\r\n".to_owned(),
        "x-amz-target: AmazonSQS.ReceiveMessage\r\n".to_owned(),
        "x-amz-security-token: t0ken\r\n".to_owned(),
        "/eu-west-1/sqs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
            .to_owned(),
    ] {
        assert!(request.contains(&header), "{header} in {request}");
    }
    assert!(!request.contains("s3cret"));
}

#[tokio::test]
async fn an_answer_without_end_is_no_answer() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let (peer, poured) = HostileServer::pouring(head, vec![b' '; 4_096]).await;
    let failed = call(&api(&peer, Keys::default())).await;
    assert!(
        matches!(&failed, Err(SqsCallError::Unavailable(cause)) if cause.to_string().contains("too large"))
    );
    poured.await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends() {
    let peer = HostileServer::hanging().await;
    let api = api(&peer, Keys::default());
    let failed = api.call::<Value>("ReceiveMessage", &json!({}), Duration::from_millis(50)).await;
    assert!(
        matches!(&failed, Err(SqsCallError::Unavailable(cause)) if cause.to_string().contains("in time"))
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_repeated() {
    let peer = HostileServer::answering(answer(200, r#"{"Messages": s3cret"#)).await;
    let Err(SqsCallError::Unavailable(cause)) = call(&api(&peer, Keys::default())).await else { panic!() };
    assert_eq!(cause.to_string(), "ReceiveMessage: the answer cannot be read");
}
