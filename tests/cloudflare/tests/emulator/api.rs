//! The public API, as seen by a client.

use std::time::Duration;

use chargegate_cloudflare_emulator::{
    ApiTokenSettings, EmulatedQueueSettings, EmulatorEndpoint, EmulatorMessage, JsonBodyForm,
    MessageOutcomes, QueueConsumer, TokenPermission,
};
use serde_json::{Value, json};

use crate::client::{ACCOUNT, DEAD, EmulatorHarness, JOBS, TOKEN, bodies, call, post, queue_path};

#[tokio::test]
async fn a_sent_message_is_pulled_with_all_its_fields() {
    let rig = EmulatorHarness::start().await;
    let sent = rig.call("messages", &json!({ "body": "hello", "content_type": "text" })).await.result();
    let metrics = &sent["metadata"]["metrics"];
    assert_eq!((&metrics["backlog_count"], &metrics["backlog_bytes"]), (&json!(1), &json!(5)));

    let pulled = rig.call("messages/pull", &json!({})).await.result();
    assert_eq!(pulled["message_backlog_count"], 1);
    let message = &pulled["messages"][0];
    assert_eq!((&message["body"], &message["attempts"]), (&json!("hello"), &json!(1)));
    assert_eq!(message["timestamp_ms"], metrics["oldest_message_timestamp_ms"]);
    assert_eq!(message["id"].as_str().unwrap().len(), 32);
    assert!(message["lease_id"].as_str().unwrap().len() > 150);
    assert_eq!(message["metadata"]["CF-Content-Type"], "text");
}

#[tokio::test]
async fn a_body_is_json_unless_its_content_type_is_text() {
    let rig = EmulatorHarness::start().await;
    for body in [json!({ "body": { "a": [1, null] } }), json!({ "body": null, "content_type": "json" })] {
        rig.call("messages", &body).await.result();
    }
    let texts: Vec<_> = rig.emulator.messages(JOBS).iter().map(|message| message.body().to_vec()).collect();
    assert_eq!(texts, [br#"{"a":[1,null]}"#.to_vec(), b"null".to_vec()]);
    rig.emulator.set_json_bodies(JsonBodyForm::Text);
    assert_eq!(rig.pull(1).await[0]["body"], r#"{"a":[1,null]}"#);
    rig.emulator.set_json_bodies(JsonBodyForm::Value);
    assert_eq!(rig.pull(1).await[0]["body"], Value::Null);
}

#[tokio::test]
async fn messages_of_another_shape_are_refused() {
    let rig = EmulatorHarness::start().await;
    for (body, refusal) in [
        (json!({}), (400, 10_207)),
        (json!([]), (400, 10_207)),
        (json!({ "body": 1, "content_type": "text" }), (400, 10_207)),
        (json!({ "body": "x", "content_type": "bytes" }), (400, 10_203)),
        (json!({ "body": "x", "content_type": "xml" }), (400, 10_203)),
        (json!({ "body": "x", "delay_seconds": -1 }), (400, 10_203)),
        (json!({ "body": "x", "delay_seconds": 0.5 }), (400, 10_203)),
    ] {
        assert_eq!(rig.call("messages", &body).await.refusal(), refusal, "{body}");
    }
    let request = post(&format!("{}/messages", queue_path(JOBS)), Some(TOKEN), "{".to_owned());
    assert_eq!(call(rig.emulator.address(), request).await.unwrap().refusal(), (400, 10_208));
}

#[tokio::test]
async fn a_pull_returns_five_messages_by_default_and_none_from_an_empty_queue() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["1", "2", "3", "4", "5", "6", "7", "8"]).await;
    let pulled = rig.call("messages/pull", &json!({})).await.result();
    assert_eq!(pulled["messages"].as_array().unwrap().len(), 5);
    rig.emulator.pull_at_most(2);
    assert_eq!(bodies(&rig.pull(100).await), ["6", "7"]);
    assert_eq!(bodies(&rig.pull(100).await), ["8"]);
    assert_eq!(rig.pull(100).await, [Value::Null; 0]);
    let tally = rig.emulator.calls(EmulatorEndpoint::Pull);
    assert_eq!((tally.calls, tally.empty, tally.messages), (4, 1, 8));
}

#[tokio::test]
async fn leases_are_acknowledged_and_retried_each_by_its_own_id() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["done", "again", "later"]).await;
    let [done, again, later] = <[Value; 3]>::try_from(rig.pull(3).await).unwrap();
    let settled = json!({
        "acks": [{ "lease_id": done["lease_id"] }, { "lease_id": "nonsense" }],
        "retries": [
            { "lease_id": again["lease_id"] },
            { "lease_id": later["lease_id"], "delay_seconds": 600 },
            { "lease_id": done["lease_id"] },
        ],
    });
    let settled = rig.call("messages/ack", &settled).await.result();
    assert_eq!((&settled["ackCount"], &settled["retryCount"]), (&json!(1), &json!(2)));
    let warnings = settled["warnings"].as_object().unwrap();
    assert_eq!(warnings.len(), 2);
    assert!(warnings.contains_key("nonsense") && warnings.contains_key(done["lease_id"].as_str().unwrap()));

    let view = rig.jobs();
    assert_eq!((view.ready, view.delayed, view.leased), (1, 1, 0));
    let messages = rig.pull(10).await;
    assert_eq!((bodies(&messages), &messages[0]["attempts"]), (vec!["again"], &json!(2)));
    assert_eq!(rig.acknowledge(&messages).await["ackCount"], 1);
    let tally = rig.emulator.calls(EmulatorEndpoint::Ack);
    assert_eq!((tally.calls, tally.messages), (2, 4));
}

#[tokio::test]
async fn a_late_or_repeated_acknowledgement_is_not_an_error() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    let first = rig.pull(1).await;
    rig.emulator.advance_clock(Duration::from_mins(1));
    let second = rig.pull(1).await;
    assert_eq!(second[0]["attempts"], 2);
    for messages in [&first, &second, &second] {
        let settled = rig.acknowledge(messages).await;
        assert_eq!((&settled["ackCount"], &settled["warnings"]), (&json!(1), &json!({})));
    }
    assert_eq!((rig.jobs().outcomes.acknowledged, rig.emulator.messages(JOBS).len()), (1, 0));
}

#[tokio::test]
async fn a_message_retried_too_often_goes_to_the_dead_letter_queue() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["poison"]).await;
    for attempt in 1..=4 {
        let messages = rig.pull(1).await;
        assert_eq!(messages[0]["attempts"], attempt);
        rig.retry(&messages).await;
    }
    assert_eq!(rig.pull(1).await, [Value::Null; 0]);
    assert_eq!(rig.jobs().outcomes.dead_lettered, 1);
    assert_eq!(rig.emulator.queue(DEAD).unwrap().ready, 1);
    assert_eq!(rig.emulator.messages(DEAD), [EmulatorMessage::text("poison")]);
}

#[tokio::test]
async fn a_message_retried_too_often_is_deleted_without_a_dead_letter_queue() {
    let rig = EmulatorHarness::start_with(|settings| {
        let QueueConsumer::HttpPull(pull) = &mut settings.queues[0].consumer else {
            panic!("a pull consumer")
        };
        pull.max_retries = 0;
        pull.dead_letter_queue = Some("of another account".to_owned());
        let other = EmulatedQueueSettings::new("other", "0123", "of another account");
        settings.queues.push(other);
    })
    .await;
    rig.send(&["retried", "lapsed"]).await;
    let messages = rig.pull(2).await;
    rig.retry(&messages[..1]).await;
    rig.emulator.advance_clock(Duration::from_mins(1));
    let view = rig.jobs();
    assert_eq!((view.outcomes.deleted, view.ready), (2, 0));
    assert_eq!(rig.emulator.queue("0123").unwrap().outcomes, MessageOutcomes::default());
}

#[tokio::test]
async fn a_client_can_describe_its_queue() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["abc"]).await;
    let queue = rig.get(&queue_path(JOBS), TOKEN).await.result();
    assert_eq!((&queue["queue_id"], &queue["queue_name"]), (&json!(JOBS), &json!("jobs")));
    let settings =
        json!({ "delivery_delay": 0, "delivery_paused": false, "message_retention_period": 345_600 });
    assert_eq!(queue["settings"], settings);
    let consumers = rig.get(&format!("{}/consumers", queue_path(JOBS)), TOKEN).await.result();
    assert_eq!((&queue["consumers"], &queue["consumers_total_count"]), (&consumers, &json!(1)));
    let consumer = &consumers[0];
    assert_eq!(
        (&consumer["type"], &consumer["dead_letter_queue"]),
        (&json!("http_pull"), &json!("jobs-dead"))
    );
    let settings =
        json!({ "batch_size": 5, "max_retries": 3, "retry_delay": 0, "visibility_timeout_ms": 30_000 });
    assert_eq!(consumer["settings"], settings);

    let metrics = rig.get(&format!("{}/metrics", queue_path(JOBS)), TOKEN).await.result();
    assert_eq!((&metrics["backlog_count"], &metrics["backlog_bytes"]), (&json!(1), &json!(3)));
    let queues = rig.get(&format!("/client/v4/accounts/{ACCOUNT}/queues"), TOKEN).await.result();
    assert_eq!((queues.as_array().unwrap().len(), &queues[0]), (2, &queue));
}

#[tokio::test]
async fn a_token_permits_only_its_scope() {
    let rig = EmulatorHarness::start_with(|settings| {
        for (token, access) in [("read", TokenPermission::Read), ("pull", TokenPermission::Pull)] {
            settings.tokens.push(ApiTokenSettings::new(ACCOUNT, token, access));
        }
        settings.tokens.push(ApiTokenSettings::new("other", "other", TokenPermission::Edit));
    })
    .await;
    let ack = async |token: Option<&str>, path: &str| {
        let request = post(&format!("{}/messages/{path}", queue_path(JOBS)), token, "{}".to_owned());
        call(rig.emulator.address(), request).await.unwrap()
    };
    assert_eq!(rig.get(&queue_path(JOBS), "read").await.status, 200);
    assert_eq!(ack(Some("read"), "pull").await.refusal(), (403, 10_000));
    assert_eq!(ack(Some("pull"), "pull").await.status, 200);
    assert_eq!(ack(Some("pull"), "ack").await.refusal(), (403, 10_000));
    assert_eq!(ack(Some("other"), "ack").await.refusal(), (403, 10_000));
    assert_eq!(ack(Some("unknown"), "ack").await.refusal(), (401, 10_000));
    assert_eq!(ack(None, "ack").await.refusal(), (400, 9_106));
    assert_eq!(ack(Some(TOKEN), "ack").await.status, 200);
    rig.emulator.revoke(TOKEN);
    assert_eq!(ack(Some(TOKEN), "ack").await.refusal(), (401, 10_000));
}

#[tokio::test]
async fn a_missing_or_malformed_queue_id_is_reported() {
    let rig = EmulatorHarness::start_with(|settings| {
        settings.queues.push(EmulatedQueueSettings::new("other", "0123", "others"));
    })
    .await;
    let pull = async |queue: &str| {
        let request = post(&format!("{}/messages/pull", queue_path(queue)), Some(TOKEN), "{}".to_owned());
        call(rig.emulator.address(), request).await.unwrap().refusal()
    };
    assert_eq!(pull("ffff").await, (404, 10_104));
    assert_eq!(pull("0123").await, (404, 10_104));
    assert_eq!(pull("my-queue").await, (400, 10_107));
    assert_eq!(rig.get(&queue_path("ffff"), TOKEN).await.refusal(), (404, 11_000));
    rig.emulator.remove_queue(JOBS);
    assert_eq!(pull(JOBS).await, (404, 10_104));
    assert_eq!(rig.get("/client/v4/zones", TOKEN).await.refusal(), (404, 7_003));
    assert_eq!(rig.get(&format!("{}/messages", queue_path(DEAD)), TOKEN).await.refusal(), (405, 7_001));
}

#[tokio::test]
async fn only_an_unpaused_queue_with_a_pull_consumer_returns_messages() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    assert!(rig.emulator.configure(JOBS, |settings| settings.delivery_paused = true));
    assert_eq!(rig.pull(1).await, [Value::Null; 0]);
    let worker = QueueConsumer::Worker { script: "worker".to_owned() };
    for consumer in [worker, QueueConsumer::None] {
        assert!(rig.emulator.configure(JOBS, |settings| settings.consumer = consumer));
        assert_eq!(rig.call("messages/pull", &json!({})).await.refusal(), (400, 0));
    }
}
