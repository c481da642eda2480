//! Number of calls to the service, which bills each one.

use std::time::Duration;

use chargegate_core::{MessageToken, RequestId, SessionMessage, UnixMillis};
use chargegate_sqs_protocol::message_group;
use chargegate_storage::queue::Queue as _;
use serde_json::json;

use super::{Setting, enqueue, some_bodies};
use chargegate_storage::conformance::queues::keys;

#[tokio::test(flavor = "multi_thread")]
async fn full_batches_take_a_quarter_of_a_call_for_each_message() {
    let mut setting = Setting::new().await;
    setting.settings.message_lease = Duration::from_mins(1);
    let engine = setting.open().await;
    let count = 500;
    enqueue(&engine, &some_bodies(count)).await;
    let sent = setting.proxy.calls("SendMessageBatch");
    assert!(sent < count / 4, "{sent} calls for {count} messages");
    let mut acknowledging = Vec::new();
    let mut leased = 0;
    while leased < count {
        let messages = engine.lease(100, Duration::from_secs(10)).await.unwrap();
        assert!(!messages.is_empty(), "{leased} of {count} came");
        leased += messages.len();
        let engine = engine.clone();
        acknowledging.push(tokio::spawn(async move { engine.ack(keys(&messages)).await }));
    }
    for acknowledged in acknowledging {
        acknowledged.await.unwrap().unwrap();
    }
    // Where they are held for seconds, their leases are extended besides.
    let operations = ["ReceiveMessage", "DeleteMessageBatch"];
    let calls = operations.map(|operation| setting.proxy.calls(operation));
    assert!(calls.iter().sum::<usize>() * 4 <= count, "{calls:?} for {count} messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_lease_costs_few_calls() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let waited = engine.lease(10, Duration::from_secs(4)).await.unwrap();
    assert!(waited.is_empty());
    let calls = setting.proxy.calls("ReceiveMessage");
    // A call waits for 2 s at most: what it is given after its worker died must come again in time.
    assert!((2..=3).contains(&calls), "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_extended_while_its_worker_lives() {
    let mut setting = Setting::new().await;
    setting.settings.message_lease = Duration::from_mins(1);
    let (holder, other) = (setting.open().await, setting.open().await);
    enqueue(&holder, &some_bodies(1)).await;
    let held = holder.lease(1, Duration::from_secs(10)).await.unwrap();
    assert_eq!(held.len(), 1);
    // Longer than the service waits without hearing of the holder.
    assert!(other.lease(10, Duration::from_secs(9)).await.unwrap().is_empty());
    assert!(setting.proxy.calls("ChangeMessageVisibilityBatch") > 0);
    holder.ack(keys(&held)).await.unwrap();
    assert_eq!(holder.depth().await.unwrap().waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_in_the_group_of_its_client() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let callback_url = "https://client.example/done?token=secret".parse().unwrap();
    let message = SessionMessage {
        id: RequestId::v7(UnixMillis(1), [7; 10]),
        station_id: "123e4567-e89b-12d3-a456-426614174000".parse().unwrap(),
        driver_token: MessageToken::from("driver-allowed-0000000001"),
        callback_url,
        accepted_at: UnixMillis(1),
        traceparent: None,
    };
    engine.enqueue(message.encode()).await.unwrap();
    let asked = json!({ "MessageSystemAttributeNames": ["MessageGroupId"], "AttributeNames": ["All"] });
    let said = setting.queue.call("ReceiveMessage", asked);
    let received = &said["Messages"][0];
    assert_eq!(received["Attributes"]["MessageGroupId"], message_group(&message.callback_url));
    assert_eq!(received["Body"], message.encode());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_releases_the_messages_of_a_cancelled_lease() {
    let mut setting = Setting::new().await;
    setting.settings.message_lease = Duration::from_mins(1);
    let engine = setting.open().await;
    enqueue(&engine, &some_bodies(5)).await;
    let leasing = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.lease(5, Duration::from_secs(5)).await })
    };
    super::eventually("messages are asked for", async || {
        (setting.proxy.calls("ReceiveMessage") > 0).then_some(())
    })
    .await;
    leasing.abort();
    let taken = leasing.await.map(|leased| leased.unwrap().len()).unwrap_or_default();
    engine.close().await;
    let other = setting.open().await;
    let mut come = 0;
    while come < 5 - taken {
        come += other.lease(5, Duration::from_secs(4)).await.unwrap().len();
    }
}
