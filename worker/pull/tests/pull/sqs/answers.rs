//! Answers that are none, or say no: nothing is lost, and all goes on when they end.

use std::time::Duration;

use chargegate_storage::queue::{EnqueueFailure, Queue as _};

use super::proxy::ProxyReply;
use super::{Setting, all_come, body, cannot_be_had, enqueue, said, some_bodies};
use chargegate_storage::conformance::queues::keys;

/// Responses of a service that cannot serve.
fn failures() -> [ProxyReply; 10] {
    let truncated = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"Messages\":[{\"MessageId\":";
    let text = |body: &str| ProxyReply::Answer { status: 200, headers: String::new(), body: body.to_owned() };
    [
        ProxyReply::error(500, "InternalFailure"),
        ProxyReply::xml(503, "ServiceUnavailable"),
        ProxyReply::error(400, "ThrottlingException"),
        ProxyReply::xml(403, "RequestThrottled"),
        ProxyReply::Answer { status: 502, headers: String::new(), body: "<html>Bad Gateway".to_owned() },
        text("<html>Welcome"),
        text(r#"{"Messages":[{"MessageId":5}],"Successful":7,"Attributes":[]}"#),
        ProxyReply::Bytes(truncated),
        ProxyReply::Bytes("garbage"),
        ProxyReply::Bytes(""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_service_loses_a_message() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    for failure in failures() {
        let before = some_bodies(15);
        enqueue(&engine, &before).await;
        let held = engine.lease(5, Duration::from_secs(5)).await.unwrap();
        setting.proxy.always(failure);
        let not_taken = engine.enqueue("not taken".to_owned()).await;
        assert!(matches!(not_taken, Err(EnqueueFailure::Unavailable(_))), "{not_taken:?}");
        let _ = engine.ack(keys(&held)).await;
        let line = cannot_be_had(&engine).await;
        assert!(!line.contains("MessageId"), "{line}");
        setting.proxy.always(ProxyReply::Pass);
        let done: Vec<_> = held.iter().map(body).collect();
        all_come(&engine, &done, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_lost_answer_are_redelivered() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let bodies = some_bodies(10);
    enqueue(&engine, &bodies).await;
    setting.proxy.once("ReceiveMessage", ProxyReply::Lose);
    all_come(&engine, &[], &bodies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unconfirmed_ack_is_repeated() {
    let mut setting = Setting::new().await;
    setting.settings.message_lease = Duration::from_mins(1);
    let engine = setting.open().await;
    for reply in [
        ProxyReply::Lose,
        ProxyReply::FailFirst { code: "InternalError", sender_fault: false },
        ProxyReply::Answer { status: 200, headers: String::new(), body: "{}".to_owned() },
    ] {
        enqueue(&engine, &some_bodies(3)).await;
        let mut held = Vec::new();
        while held.len() < 3 {
            held.extend(engine.lease(3 - held.len(), Duration::from_secs(5)).await.unwrap());
        }
        let calls = setting.proxy.calls("DeleteMessageBatch");
        setting.proxy.once("DeleteMessageBatch", reply.clone());
        engine.ack(keys(&held)).await.unwrap();
        assert_eq!(engine.depth().await.unwrap().waiting, 0, "{reply:?}");
        assert!(setting.proxy.calls("DeleteMessageBatch") > calls + 1, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acking_an_expired_lease_succeeds_and_the_message_is_redelivered() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let bodies = some_bodies(3);
    enqueue(&engine, &bodies).await;
    let held = engine.lease(3, Duration::from_secs(5)).await.unwrap();
    let over = ProxyReply::FailFirst { code: "ReceiptHandleIsInvalid", sender_fault: true };
    setting.proxy.once("DeleteMessageBatch", over);
    engine.ack(keys(&held)).await.unwrap();
    let again = super::eventually("it comes again", async || {
        let leased = engine.lease(3, Duration::from_secs(1)).await.unwrap();
        let again = leased.iter().map(body).find(|body| held.iter().any(|held| self::body(held) == *body));
        engine.ack(keys(&leased)).await.unwrap();
        again
    })
    .await;
    assert!(bodies.contains(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_does_not_affect_others_of_its_batch() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let not_taken = ProxyReply::FailFirst { code: "InternalError", sender_fault: false };
    setting.proxy.rule(move |call| {
        if call.operation == "SendMessageBatch" { not_taken.clone() } else { ProxyReply::Pass }
    });
    let enqueuing: Vec<_> = some_bodies(30)
        .into_iter()
        .map(|body| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.enqueue(body.clone()).await.map(|()| body) })
        })
        .collect();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for enqueued in enqueuing {
        match enqueued.await.unwrap() {
            Ok(body) => taken.push(body),
            Err(error) => {
                assert!(said(&error).contains("InternalError"), "{}", said(&error));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, setting.proxy.calls("SendMessageBatch"));
    setting.proxy.always(ProxyReply::Pass);
    all_come(&engine, &[], &taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_call_times_out() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let bodies = some_bodies(3);
    enqueue(&engine, &bodies).await;
    setting.proxy.always(ProxyReply::Hang);
    assert!(matches!(engine.enqueue("x".to_owned()).await, Err(EnqueueFailure::Unavailable(_))));
    let line = cannot_be_had(&engine).await;
    assert!(line.contains("no answer in time"), "{line}");
    setting.proxy.always(ProxyReply::Pass);
    all_come(&engine, &[], &bodies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_requested_by_the_service_is_kept() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    let ProxyReply::Answer { status, body, .. } = ProxyReply::error(400, "RequestThrottled") else {
        panic!()
    };
    let throttled = ProxyReply::Answer { status, headers: "retry-after: 3\r\n".to_owned(), body };
    setting.proxy.once("SendMessageBatch", throttled);
    assert!(engine.enqueue("a".to_owned()).await.is_err());
    // A call would pass.
    assert!(engine.enqueue("b".to_owned()).await.is_err());
    assert_eq!(setting.proxy.calls("SendMessageBatch"), 1);
    super::eventually("it is called again", async || engine.enqueue("c".to_owned()).await.ok()).await;
    assert_eq!(setting.proxy.calls("SendMessageBatch"), 2);
}
