//! Each documented limit, at the bound and beyond it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chargegate_cloudflare_emulator::{
    ApiTokenSettings, CloudflareEmulator, EmulatedQueueSettings, EmulatorMessage, EmulatorSettings,
    EmulatorStartError, PullConsumerSettings, QueueConsumer, TokenPermission,
};
use serde_json::{Value, json};

use crate::client::{ACCOUNT, EmulatorHarness, JOBS, TOKEN, call, post, queue_path};

// From the documentation, not from the emulator.
const MESSAGE_BYTES: usize = 128_000;
const BATCH_MESSAGES: usize = 100;
const BATCH_BYTES: usize = 256_000;
const VISIBILITY: Duration = Duration::from_hours(12);
const DELAY: Duration = Duration::from_hours(24);
const RETENTION: Duration = Duration::from_hours(14 * 24);

/// Returns a batch of `messages` messages of `bytes` bytes each.
fn batch(messages: usize, bytes: usize) -> Value {
    let message = json!({ "body": "x".repeat(bytes), "content_type": "text" });
    json!({ "messages": vec![message; messages] })
}

fn broker_batch(messages: usize, bytes: usize) -> String {
    let message = json!({ "body": BASE64_STANDARD.encode("x".repeat(bytes)), "contentType": "text" });
    json!({ "messages": vec![message; messages] }).to_string()
}

#[tokio::test]
async fn a_message_has_at_most_128_000_bytes() {
    let rig = EmulatorHarness::start().await;
    let api = |bytes| json!({ "body": "x".repeat(bytes), "content_type": "text" });
    assert_eq!(rig.call("messages", &api(MESSAGE_BYTES)).await.status, 200);
    assert_eq!(rig.call("messages", &api(MESSAGE_BYTES + 1)).await.refusal(), (413, 10_204));
    let text = [("x-msg-fmt", "text")];
    assert_eq!(rig.runtime("/message", &text, "x".repeat(MESSAGE_BYTES)).await.status, 200);
    let refused = rig.runtime("/message", &text, "x".repeat(MESSAGE_BYTES + 1)).await;
    assert_eq!(refused.broker_refusal(), (413, 10_204));
    assert_eq!(rig.jobs().outcomes.sent, 2);
}

#[tokio::test]
async fn a_batch_has_1_to_100_messages_and_at_most_256_000_bytes() {
    let rig = EmulatorHarness::start().await;
    let full = BATCH_BYTES / 4;
    for (messages, bytes, refusal) in [
        (BATCH_MESSAGES, 1, None),
        (4, full, None),
        (0, 1, Some((400, 10_206))),
        (BATCH_MESSAGES + 1, 1, Some((400, 10_206))),
        (4, full + 1, Some((413, 10_205))),
        (2, MESSAGE_BYTES + 1, Some((413, 10_204))),
    ] {
        let api = rig.call("messages/batch", &batch(messages, bytes)).await;
        let broker = rig.runtime("/batch", &[], broker_batch(messages, bytes)).await;
        match refusal {
            None => assert_eq!((api.status, broker.status), (200, 200)),
            Some(refusal) => assert_eq!((api.refusal(), broker.broker_refusal()), (refusal, refusal)),
        }
    }
    assert_eq!(rig.jobs().outcomes.sent, 208);
}

#[tokio::test]
async fn a_request_is_not_read_beyond_its_limit() {
    let rig = EmulatorHarness::start().await;
    let garbage = || "x".repeat(3 * 1024 * 1024);
    assert_eq!(rig.runtime("/batch", &[], garbage()).await.broker_refusal(), (413, 10_205));
    let request = post(&format!("{}/messages", queue_path(JOBS)), Some(TOKEN), garbage());
    assert_eq!(call(rig.emulator.address(), request).await.unwrap().refusal(), (413, 10_204));
}

#[tokio::test]
async fn a_pull_requests_1_to_100_messages_for_at_most_12_hours() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    let longest = u64::try_from(VISIBILITY.as_millis()).unwrap();
    for body in [
        json!({ "batch_size": 0 }),
        json!({ "batch_size": 101 }),
        json!({ "batch_size": "5" }),
        json!({ "visibility_timeout_ms": longest + 1 }),
        json!({ "visibility_timeout_ms": -1 }),
    ] {
        assert_eq!(rig.call("messages/pull", &body).await.refusal(), (400, 10_207), "{body}");
    }
    let body = json!({ "batch_size": 100, "visibility_timeout_ms": longest });
    assert_eq!(rig.call("messages/pull", &body).await.status, 200);
    rig.emulator.advance_clock(VISIBILITY.checked_sub(Duration::from_mins(1)).unwrap());
    assert_eq!(rig.jobs().leased, 1);
    rig.emulator.advance_clock(Duration::from_mins(1));
    assert_eq!(rig.jobs().ready, 1);
}

#[tokio::test]
async fn the_consumers_visibility_timeout_applies_to_pulls_without_one() {
    let rig = EmulatorHarness::start().await;
    let lasts = async |body: Value, timeout: Duration| {
        rig.call("messages/pull", &body).await.result();
        rig.emulator.advance_clock(timeout.checked_sub(Duration::from_secs(10)).unwrap());
        assert_eq!(rig.jobs().leased, 1, "{body}");
        rig.emulator.advance_clock(Duration::from_secs(10));
        assert_eq!(rig.jobs().ready, 1, "{body}");
    };
    rig.send(&["a"]).await;
    lasts(json!({}), Duration::from_secs(30)).await;
    assert!(rig.emulator.configure(JOBS, |settings| {
        let visibility_timeout = Duration::from_mins(5);
        settings.consumer = QueueConsumer::HttpPull(PullConsumerSettings {
            visibility_timeout,
            ..PullConsumerSettings::default()
        });
    }));
    lasts(json!({}), Duration::from_mins(5)).await;
    lasts(json!({ "visibility_timeout_ms": 600_000 }), Duration::from_mins(10)).await;
}

#[tokio::test]
async fn a_delay_is_at_most_24_hours() {
    let rig = EmulatorHarness::start().await;
    let longest = DELAY.as_secs();
    let message = |delay| json!({ "body": "x", "delay_seconds": delay });
    let batch = |delay| json!({ "delay_seconds": delay, "messages": [{ "body": "x" }] });
    let header = |delay: u64| [("x-msg-delay-secs", delay.to_string())];
    let broker = async |path: &str, delay, body: String| {
        let [(name, value)] = header(delay);
        rig.runtime(path, &[(name, &value)], body).await
    };
    assert_eq!(rig.call("messages", &message(longest)).await.status, 200);
    assert_eq!(rig.call("messages", &message(longest + 1)).await.refusal(), (400, 10_203));
    assert_eq!(rig.call("messages/batch", &batch(longest)).await.status, 200);
    assert_eq!(rig.call("messages/batch", &batch(longest + 1)).await.refusal(), (400, 10_202));
    assert_eq!(broker("/message", longest, "x".into()).await.status, 200);
    assert_eq!(broker("/message", longest + 1, "x".into()).await.broker_refusal(), (400, 10_203));
    assert_eq!(broker("/batch", longest, broker_batch(1, 1)).await.status, 200);
    assert_eq!(broker("/batch", longest + 1, broker_batch(1, 1)).await.broker_refusal(), (400, 10_202));
    assert_eq!(rig.jobs().delayed, 4);

    rig.emulator.advance_clock(DELAY);
    let lease = rig.pull(1).await[0]["lease_id"].clone();
    let retry = |delay| json!({ "retries": [{ "lease_id": lease, "delay_seconds": delay }] });
    assert_eq!(rig.call("messages/ack", &retry(longest + 1)).await.refusal(), (400, 10_203));
    assert_eq!(rig.call("messages/ack", &retry(longest)).await.result()["retryCount"], 1);
}

#[tokio::test]
async fn a_call_settles_at_most_100_leases() {
    let rig = EmulatorHarness::start().await;
    let settling = |acks: usize, retries: usize| json!({ "acks": vec![json!({ "lease_id": "a" }); acks], "retries": vec![json!({ "lease_id": "b" }); retries] });
    assert_eq!(rig.call("messages/ack", &settling(60, 40)).await.result()["ackCount"], 0);
    assert_eq!(rig.call("messages/ack", &settling(60, 41)).await.refusal(), (400, 10_207));
    assert_eq!(rig.call("messages/ack", &json!({ "acks": ["a"] })).await.refusal(), (400, 10_207));
    assert_eq!(rig.call("messages/ack", &json!({ "acks": null })).await.status, 200);
}

#[tokio::test]
async fn a_queue_limits_its_messages_per_second() {
    let limited = EmulatorHarness::start_with(|settings| settings.messages_per_second = Some(150)).await;
    let unlimited = EmulatorHarness::start_with(|settings| settings.messages_per_second = None).await;
    // Two batches within one second exceed the limit, and 20 pairs make that certain on a busy machine.
    let mut refused = 0;
    for _ in 0..20 {
        unlimited.call("messages/batch", &batch(100, 1)).await.result();
        let answer = limited.call("messages/batch", &batch(100, 1)).await;
        if answer.status != 200 {
            assert_eq!(answer.refusal(), (429, 10_250));
            refused += 1;
        }
    }
    assert!(refused > 0);
    limited.emulator.advance_clock(Duration::from_secs(1));
    assert_eq!(limited.call("messages/batch", &batch(100, 1)).await.status, 200);
}

#[tokio::test]
async fn a_token_has_limited_calls_in_five_minutes_excluding_pulls() {
    let rig = EmulatorHarness::start_with(|settings| {
        settings.calls_per_five_minutes = Some(2);
        settings.tokens.push(ApiTokenSettings::new(ACCOUNT, "another", TokenPermission::Read));
    })
    .await;
    for _ in 0..2 {
        assert_eq!(rig.get(&queue_path(JOBS), TOKEN).await.status, 200);
    }
    let refused = rig.get(&queue_path(JOBS), TOKEN).await;
    assert_eq!(refused.refusal(), (429, 971));
    assert!((1..=300).contains(&refused.retry_after().unwrap().parse::<u64>().unwrap()));
    assert_eq!(rig.call("messages", &json!({ "body": 1 })).await.refusal(), (429, 971));
    assert_eq!(rig.get(&queue_path(JOBS), "another").await.status, 200);
    for path in ["messages/pull", "messages/ack"] {
        assert_eq!(rig.call(path, &json!({})).await.status, 200);
    }
    rig.emulator.advance_clock(Duration::from_mins(5));
    assert_eq!(rig.get(&queue_path(JOBS), TOKEN).await.status, 200);
}

#[tokio::test]
async fn a_backlog_has_a_maximum_size() {
    let rig = EmulatorHarness::start_with(|settings| settings.queues[0].backlog_bytes = 10).await;
    let text = [("x-msg-fmt", "text")];
    assert_eq!(rig.runtime("/message", &text, "123456").await.status, 200);
    assert_eq!(rig.runtime("/message", &text, "12345").await.broker_refusal(), (429, 10_251));
    assert_eq!(rig.runtime("/message", &text, "1234").await.status, 200);
    let messages = rig.pull(1).await;
    rig.acknowledge(&messages).await;
    assert_eq!(rig.runtime("/message", &text, "12345").await.status, 200);
}

#[tokio::test]
async fn a_message_expires_at_the_end_of_its_retention() {
    let rig = EmulatorHarness::start_with(|settings| settings.queues[0].retention = RETENTION).await;
    assert!(rig.emulator.put(JOBS, EmulatorMessage::text("old")));
    rig.emulator.advance_clock(RETENTION.checked_sub(Duration::from_mins(1)).unwrap());
    assert_eq!(rig.jobs().ready, 1);
    rig.emulator.advance_clock(Duration::from_mins(1));
    assert_eq!(rig.pull(1).await, [Value::Null; 0]);
    assert_eq!(rig.jobs().outcomes.expired, 1);
}

#[tokio::test]
async fn settings_outside_cloudflares_limits_are_refused() {
    type Change = fn(&mut EmulatedQueueSettings, &mut PullConsumerSettings);
    let starts = async |change: Change| {
        let mut settings = EmulatorSettings::sample();
        let mut pull = PullConsumerSettings::default();
        change(&mut settings.queues[0], &mut pull);
        if let QueueConsumer::HttpPull(_) = settings.queues[0].consumer {
            settings.queues[0].consumer = QueueConsumer::HttpPull(pull);
        }
        match CloudflareEmulator::start(settings).await {
            Ok(_) => true,
            Err(EmulatorStartError::Settings(_)) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let changes: [(Change, bool); 14] = [
        (|queue, _| queue.id = "not-hex".to_owned(), false),
        (|queue, _| queue.id = String::new(), false),
        (|queue, _| queue.delivery_delay = DELAY, true),
        (|queue, _| queue.delivery_delay = DELAY + Duration::from_secs(1), false),
        (|queue, _| queue.retention = Duration::from_mins(1), true),
        (|queue, _| queue.retention = Duration::from_secs(59), false),
        (|queue, _| queue.retention = RETENTION, true),
        (|queue, _| queue.retention = RETENTION + Duration::from_secs(1), false),
        (|_, pull| pull.max_retries = 100, true),
        (|_, pull| pull.max_retries = 101, false),
        (|_, pull| pull.retry_delay = DELAY, true),
        (|_, pull| pull.retry_delay = DELAY + Duration::from_secs(1), false),
        (|_, pull| pull.visibility_timeout = VISIBILITY, true),
        (|_, pull| pull.visibility_timeout = VISIBILITY + Duration::from_secs(1), false),
    ];
    for (change, accepted) in changes {
        assert_eq!(starts(change).await, accepted);
    }
}

#[tokio::test]
async fn a_request_without_a_body_uses_the_defaults() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    let request = post(&format!("{}/messages/pull", queue_path(JOBS)), Some(TOKEN), String::new());
    let pulled = call(rig.emulator.address(), request).await.unwrap().result();
    assert_eq!(pulled["messages"][0]["body"], "a");
}
