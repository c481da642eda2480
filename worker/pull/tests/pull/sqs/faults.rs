//! The service goes away, loses the queue, or is there no more.

use chargegate_servers::{MotoServer, moto};
use chargegate_storage::queue::{EnqueueFailure, Queue as _};
use serde_json::json;

use super::by_hand::TemporaryQueue;
use super::{Setting, all_come, cannot_be_had, enqueue, eventually, some_bodies};
use crate::queues::sqs::{open, settings};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_continues_once_the_service_returns() {
    let mut server = MotoServer::start(&moto()).unwrap();
    let queue = TemporaryQueue::create(&server.url());
    let engine = open(&settings(&server.url(), &queue)).await;
    enqueue(&engine, &some_bodies(3)).await;
    server.kill().unwrap();
    assert!(matches!(engine.enqueue("x".to_owned()).await, Err(EnqueueFailure::Unavailable(_))));
    assert!(engine.depth().await.is_err());
    cannot_be_had(&engine).await;
    server.restart().unwrap();
    // It kept nothing, the queue included.
    let line = eventually("the queue is missed", async || {
        Some(cannot_be_had(&engine).await).filter(|line| line.contains("there is no queue"))
    })
    .await;
    assert!(line.contains(&queue.name), "{line}");
    queue.create_again(&json!({}));
    let bodies = some_bodies(20);
    eventually("the queue is there", async || engine.depth().await.ok()).await;
    enqueue(&engine, &bodies).await;
    all_come(&engine, &[], &bodies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_used_again_once_it_is_recreated() {
    let setting = Setting::new().await;
    let engine = setting.open().await;
    setting.queue.call("DeleteQueue", json!({}));
    let line = cannot_be_had(&engine).await;
    assert!(line.contains("there is no queue") && line.contains("create the queue"), "{line}");
    setting.queue.create_again(&json!({}));
    eventually("the queue is there", async || engine.depth().await.ok()).await;
    let bodies = some_bodies(5);
    enqueue(&engine, &bodies).await;
    all_come(&engine, &[], &bodies).await;
}
