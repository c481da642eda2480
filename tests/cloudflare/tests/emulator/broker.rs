//! The broker protocol of the Workers runtime.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chargegate_cloudflare_emulator::{EmulatorMessage, MessageContentType, QUEUE_HEADER};
use serde_json::json;

use crate::client::{DEAD, EmulatorHarness, JOBS, bodies};

#[tokio::test]
async fn each_content_type_is_accepted_and_pulled() {
    let rig = EmulatorHarness::start().await;
    for (format, body) in [("text", "grüß\n"), ("json", r#"{"a":1}"#), ("bytes", "\u{1}"), ("v8", "\u{2}")]
    {
        let answer = rig.runtime("/message", &[("x-msg-fmt", format)], body.to_owned()).await;
        assert_eq!(answer.status, 200);
    }
    let messages = rig.pull(10).await;
    assert_eq!(bodies(&messages), ["grüß\n", "eyJhIjoxfQ==", "AQ==", "Ag=="]);
    let types: Vec<_> = messages.iter().map(|message| &message["metadata"]["CF-Content-Type"]).collect();
    assert_eq!(types, ["text", "json", "bytes", "v8"]);
}

#[tokio::test]
async fn a_message_without_a_format_is_v8() {
    let rig = EmulatorHarness::start().await;
    assert_eq!(rig.runtime("/message", &[], "x").await.status, 200);
    assert_eq!(rig.emulator.messages(JOBS), [EmulatorMessage::new(MessageContentType::V8, "x").unwrap()]);
}

#[tokio::test]
async fn the_response_contains_the_backlog() {
    let rig = EmulatorHarness::start().await;
    rig.runtime("/message", &[("x-msg-fmt", "text")], "four").await;
    let metrics = rig.runtime("/message", &[("x-msg-fmt", "text")], "five!").await.json();
    let metrics = &metrics["metadata"]["metrics"];
    assert_eq!((&metrics["backlogCount"], &metrics["backlogBytes"]), (&json!(2), &json!(9)));
    assert!(metrics["oldestMessageTimestamp"].as_u64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn the_delay_of_a_message_takes_precedence_over_its_batchs() {
    let rig = EmulatorHarness::start().await;
    let entry = |body: &str| json!({ "body": BASE64_STANDARD.encode(body), "contentType": "text" });
    let mut at_once = entry("at once");
    at_once["delaySecs"] = json!(0);
    let batch = json!({ "messages": [entry("in a minute"), at_once] }).to_string();
    let headers = [("x-msg-delay-secs", "60"), ("cf-queue-batch-count", "2")];
    assert_eq!(rig.runtime("/batch", &headers, batch).await.status, 200);
    let messages = rig.pull(10).await;
    assert_eq!(bodies(&messages), ["at once"]);
    rig.acknowledge(&messages).await;
    rig.emulator.advance_clock(Duration::from_mins(1));
    assert_eq!(bodies(&rig.pull(10).await), ["in a minute"]);
}

#[tokio::test]
async fn the_header_names_the_queue_by_name_or_id() {
    let rig = EmulatorHarness::start().await;
    for queue in ["jobs-dead", DEAD] {
        rig.runtime("/message", &[(QUEUE_HEADER, queue)], "x").await;
    }
    assert_eq!(rig.emulator.queue(DEAD).unwrap().ready, 2);
    assert_eq!(rig.jobs().ready, 0);
}

#[tokio::test]
async fn an_invalid_call_is_refused_with_code_and_cause() {
    let rig = EmulatorHarness::start().await;
    let batch = |entry| json!({ "messages": [entry] }).to_string();
    let format = |format| [("x-msg-fmt", format)];
    let refused = async |path: &str, headers: &[(&str, &str)], body: String| {
        rig.runtime(path, headers, body).await.broker_refusal()
    };
    assert_eq!(refused("/message", &[(QUEUE_HEADER, "gone")], String::new()).await, (404, 10_104));
    assert_eq!(refused("/message", &format("xml"), "x".into()).await, (400, 10_203));
    assert_eq!(refused("/message", &format("json"), "x".into()).await, (400, 10_203));
    assert_eq!(refused("/message", &[("x-msg-delay-secs", "-1")], "x".into()).await, (400, 10_203));
    assert_eq!(refused("/batch", &[], "{".into()).await, (400, 10_208));
    assert_eq!(refused("/batch", &[], "{}".into()).await, (400, 10_207));
    assert_eq!(refused("/batch", &[], batch(json!({ "body": "*" }))).await, (400, 10_207));
    assert_eq!(refused("/batch", &[("x-msg-delay-secs", "x")], batch(json!({}))).await, (400, 10_202));
    let unnamed = http::Request::post("/message").body(http_body_util::Full::default()).unwrap();
    let unnamed = crate::client::call(rig.emulator.address(), unnamed).await.unwrap();
    assert_eq!(unnamed.broker_refusal(), (400, 10_107));
    assert_eq!(rig.jobs().outcomes.sent, 0);
}
