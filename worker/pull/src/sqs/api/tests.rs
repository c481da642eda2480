use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::super::credentials::{CredentialsError, FetchCredentials};
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
    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        Ok(key(&format!("key{}", self.0.fetch_add(1, Ordering::SeqCst)), None))
    }
}

fn key(id: &str, token: Option<&str>) -> Credentials {
    Credentials::new(id, "s3cret", token.map(str::to_owned), None, "test")
}

fn api(peer: &HostileServer, source: impl FetchCredentials) -> SqsApi {
    let clock = Effects::system().clock;
    let queue = format!("sqs+http://127.0.0.1:{}/1/q?region=eu-west-1", peer.port()).parse().unwrap();
    let client = ServiceClient::new(1, MAX_ANSWER).unwrap();
    SqsApi::new(client, queue, CredentialsCache::new(source, Arc::clone(&clock)), clock)
}

/// Receives; returns the ids of the messages.
async fn call(api: &SqsApi) -> Result<Vec<String>, SqsCallError> {
    call_within(api, DEADLINE).await
}

async fn call_within(api: &SqsApi, deadline: Duration) -> Result<Vec<String>, SqsCallError> {
    let send = |SqsCall { sdk, settings }| {
        sdk.receive_message().queue_url(api.queue()).customize().config_override(settings).send()
    };
    let answer = api.call("ReceiveMessage", deadline, send).await?;
    Ok(answer.messages.unwrap_or_default().into_iter().filter_map(|message| message.message_id).collect())
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
            let answer = if refused {
                answer(403, &refusal)
            } else {
                answer(200, r#"{"Messages":[{"MessageId":"m"}]}"#)
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (peer, requests)
}

#[tokio::test]
async fn a_refused_call_is_repeated_once_with_new_credentials() {
    for code in ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"] {
        let (peer, requests) = refusing(code, &["key0"]).await;
        let api = api(&peer, Keys::default());
        assert_eq!(call(&api).await.unwrap(), ["m"]);
        assert_eq!(call(&api).await.unwrap(), ["m"]);
        assert_eq!(requests.lock().len(), 3, "the new ones are kept");
    }
}

#[tokio::test]
async fn a_call_is_repeated_at_most_once_and_only_with_other_credentials() {
    let (peer, requests) = refusing("ExpiredToken", &["key0", "key1", "key2"]).await;
    let refused = call(&api(&peer, Keys::default())).await;
    assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::Expired))), "{refused:?}");
    assert_eq!(requests.lock().len(), 2);
    let (peer, requests) = refusing("ExpiredToken", &["fixed"]).await;
    let refused = call(&api(&peer, key("fixed", None))).await;
    assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::Expired))), "{refused:?}");
    assert_eq!(requests.lock().len(), 1, "there are no others");
}

#[tokio::test]
async fn other_errors_do_not_renew_credentials() {
    let (peer, requests) = refusing("AccessDenied", &["key0"]).await;
    let refused = call(&api(&peer, Keys::default())).await;
    assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::NotPermitted { .. }))), "{refused:?}");
    assert_eq!(requests.lock().len(), 1);
}

#[tokio::test]
async fn a_request_has_the_form_of_the_protocol() {
    let (peer, requests) = refusing("", &[]).await;
    call(&api(&peer, key("id", Some("t0ken")))).await.unwrap();
    let request = requests.lock().remove(0);
    let body = format!("\r\n\r\n{{\"QueueUrl\":\"http://127.0.0.1:{}/1/q\"}}", peer.port());
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && request.ends_with(&body), "{request}");
    for header in [
        format!("host: 127.0.0.1:{}\r\n", peer.port()),
        "content-type: application/x-amz-json-1.0\r\n".to_owned(),
        "x-amz-target: AmazonSQS.ReceiveMessage\r\n".to_owned(),
        "x-amz-security-token: t0ken\r\n".to_owned(),
        concat!("user-agent: chargegate/", env!("CARGO_PKG_VERSION"), "\r\n").to_owned(),
        "/eu-west-1/sqs/aws4_request, ".to_owned(),
    ] {
        assert!(request.contains(&header), "{header} in {request}");
    }
    assert!(!request.contains("s3cret"));
}

#[tokio::test]
async fn an_endless_answer_is_a_failure() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let (peer, poured) = HostileServer::pouring(head, vec![b' '; 4_096]).await;
    let failed = call(&api(&peer, Keys::default())).await;
    assert!(
        matches!(&failed, Err(SqsCallError::Unavailable(cause)) if cause.to_string().contains("too large"))
    );
    poured.await.unwrap();
}

#[tokio::test]
async fn an_unanswered_call_times_out() {
    let peer = HostileServer::hanging().await;
    let api = api(&peer, Keys::default());
    let failed = call_within(&api, Duration::from_millis(50)).await;
    assert!(
        matches!(&failed, Err(SqsCallError::Unavailable(cause)) if cause.to_string().contains("in time"))
    );
}

#[tokio::test]
async fn a_call_with_an_unreadable_answer_is_not_repeated() {
    for body in [r#"{"Messages": s3cret"#, r#"{"Messages":[{"Body":"s3cret","MessageId":5}]}"#, "<s3cret>"] {
        let peer = HostileServer::answering(answer(200, body)).await;
        let Err(SqsCallError::Unavailable(cause)) = call(&api(&peer, Keys::default())).await else {
            panic!()
        };
        assert_eq!(cause.to_string(), "ReceiveMessage: the answer cannot be read");
        assert!(cause.source().is_none());
    }
}

#[tokio::test]
async fn a_header_that_is_not_text_does_not_fail_a_call() {
    let body = r#"{"Messages":[{"MessageId":"m"}]}"#;
    let head = format!("HTTP/1.1 200 X\r\nserver: \u{fc}\r\ncontent-length: {}\r\n\r\n", body.len());
    let bytes: Vec<_> =
        head.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).chain(body.bytes()).collect();
    let peer = HostileServer::answering(bytes).await;
    assert_eq!(call(&api(&peer, Keys::default())).await.unwrap(), ["m"]);
}

#[tokio::test]
async fn a_wrong_clock_is_not_corrected() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let peer = HostileServer::start(move |mut stream, _| {
        let noted = Arc::clone(&noted);
        async move {
            let Some(request) = read_request(&mut stream).await else { return };
            noted.lock().push(request);
            let refusal = "<Error><Code>RequestExpired</Code></Error>";
            let date = "HTTP/1.1 403 X\r\ndate: Fri, 01 Jan 2100 00:00:00 GMT";
            let answer = answer(403, refusal).replace("HTTP/1.1 403 X", date);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let api = api(&peer, key("id", None));
    for _ in 0..2 {
        let refused = call(&api).await;
        assert!(matches!(refused, Err(SqsCallError::Refused(SqsRefusal::Clock(_)))), "{refused:?}");
    }
    let requests = requests.lock();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| !request.contains("x-amz-date: 2100")), "{requests:?}");
}

/// Subscriber that collects every field at every level.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<String>>);

impl Visit for CapturedLog {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0.lock(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for CapturedLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn no_log_has_a_message_or_a_token() {
    let peer =
        HostileServer::answering(answer(200, r#"{"Messages":[{"MessageId":"m","Body":"s3cret"}]}"#)).await;
    let api = api(&peer, key("id", Some("s3cret-t0ken")));
    let log = CapturedLog::default();
    let guard = tracing::subscriber::set_default(log.clone());
    tracing::trace!("the log is captured");
    let ids = call(&api).await.unwrap();
    drop(guard);
    let log = log.0.lock();
    assert_eq!(ids, ["m"]);
    assert!(log.contains("the log is captured") && !log.contains("s3cret"), "{log}");
}
