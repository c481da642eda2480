//! Obstacles are reported in one line, at the start and at run time.

use std::net::TcpListener;
use std::time::Duration;

use chargegate_pull::sqs::{SqsEngine, SqsOpenError, SqsRefusal, SqsSettings, SqsWarning};
use chargegate_storage::Effects;
use serde_json::{Value, json};

use super::by_hand::TemporaryQueue;
use super::proxy::ProxyReply;
use super::{Setting, cannot_be_had};
use crate::queues::sqs::{endpoint, settings};

async fn refused(settings: &SqsSettings) -> SqsOpenError {
    let error = SqsEngine::open(settings.clone(), Effects::system()).await.map(|_| ()).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    error
}

async fn warnings(attributes: Value) -> Vec<SqsWarning> {
    let endpoint = endpoint();
    let queue = TemporaryQueue::create_with(&endpoint, &attributes);
    let (engine, warnings) = SqsEngine::open(settings(&endpoint, &queue), Effects::system()).await.unwrap();
    engine.close().await;
    warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there() {
    let setting = Setting::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = refused(&settings(&gone, &setting.queue)).await;
    assert!(matches!(error, SqsOpenError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_speaks_no_tls() {
    let setting = Setting::new().await;
    let url = setting.settings.url.to_string().replace("sqs+http:", "sqs:") + "?region=eu-central-1";
    let settings = SqsSettings { url: url.parse().unwrap(), ..setting.settings.clone() };
    let error = refused(&settings).await;
    assert!(matches!(error, SqsOpenError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there() {
    let setting = Setting::new().await;
    setting.queue.call("DeleteQueue", json!({}));
    let error = refused(&setting.settings).await;
    assert!(matches!(error, SqsOpenError::Refused(SqsRefusal::NoQueue { .. })), "{error}");
    setting.queue.create_again(&json!({}));
}

/// Response of the service, and the resulting text.
fn refusals() -> [(ProxyReply, &'static str); 9] {
    let at = |reply: ProxyReply, date: &str| match reply {
        ProxyReply::Answer { status, headers, body } => {
            ProxyReply::Answer { status, headers: format!("{headers}date: {date}\r\n"), body }
        }
        other => other,
    };
    [
        (ProxyReply::error(403, "InvalidClientTokenId"), "the access key"),
        (ProxyReply::xml(403, "InvalidClientTokenId"), "the access key"),
        (ProxyReply::error(403, "ExpiredToken"), "a session token"),
        (ProxyReply::xml(403, "SignatureDoesNotMatch"), "the secret access key"),
        (ProxyReply::error(400, "RequestExpired"), "set the clock"),
        (
            at(ProxyReply::error(400, "InvalidSignatureException"), "Thu, 01 Jan 2026 00:00:00 GMT"),
            "minutes ahead of",
        ),
        (at(ProxyReply::xml(403, "RequestExpired"), "Fri, 01 Jan 2100 00:00:00 GMT"), "minutes behind"),
        (ProxyReply::error(400, "QueueDoesNotExist"), "there is no queue"),
        (ProxyReply::error(400, "UnsupportedOperation"), "UnsupportedOperation"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_with_a_remedy_are_reported_at_the_start_and_at_run_time() {
    let setting = Setting::new().await;
    for (reply, words) in refusals() {
        setting.proxy.always(reply.clone());
        let error = refused(&setting.settings).await;
        assert!(matches!(error, SqsOpenError::Refused(_)) && error.to_string().contains(words), "{error}");
        setting.proxy.always(ProxyReply::Pass);
        let engine = setting.open().await;
        setting.proxy.always(reply);
        let line = cannot_be_had(&engine).await;
        assert!(line.contains(words), "{line}");
        setting.proxy.always(ProxyReply::Pass);
        super::eventually("it is mended", async || engine.enqueue("x".to_owned()).await.ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_may_not_be_read_are_a_warning() {
    let setting = Setting::new().await;
    setting.proxy.always(ProxyReply::xml(403, "AccessDenied"));
    let opened = SqsEngine::open(setting.settings.clone(), Effects::system()).await;
    let (engine, found) = opened.unwrap();
    assert_eq!(found, [SqsWarning::AttributesHidden]);
    let line = cannot_be_had(&engine).await;
    assert!(line.contains("sqs:ReceiveMessage") && line.contains("said"), "{line}");
    setting.proxy.always(ProxyReply::Pass);
    super::eventually("it is permitted", async || engine.enqueue("x".to_owned()).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_reported() {
    let setting = Setting::new().await;
    setting.proxy.always(ProxyReply::xml(403, "RequestThrottled"));
    assert!(matches!(refused(&setting.settings).await, SqsOpenError::Throttled));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_put_messages_at_risk_are_warnings() {
    assert_eq!(warnings(json!({})).await, []);
    let dead = TemporaryQueue::create(&endpoint());
    let policy = |count: u32| {
        let arn = format!("arn:aws:sqs:eu-central-1:123456789012:{}", dead.name);
        json!({ "RedrivePolicy": json!({ "deadLetterTargetArn": arn, "maxReceiveCount": count }).to_string() })
    };
    let early = SqsWarning::RedriveTooEarly { max_receive_count: 3, needed: 20 };
    assert_eq!(warnings(policy(3)).await, [early]);
    assert_eq!(warnings(policy(20)).await, []);
    let retention = Duration::from_mins(10);
    assert_eq!(
        warnings(json!({ "MessageRetentionPeriod": "600" })).await,
        [SqsWarning::ShortRetention { retention }]
    );
    let delay = Duration::from_secs(2);
    assert_eq!(warnings(json!({ "DelaySeconds": "2" })).await, [SqsWarning::Delayed { delay }]);
    let small = SqsWarning::SmallMessages { limit: 2_048, needed: 16_384 };
    assert_eq!(warnings(json!({ "MaximumMessageSize": "2048" })).await, [small]);
}
