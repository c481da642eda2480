//! A queue that loses what it confirmed: counted exactly, alarmed, and survived.

use serde_json::json;

use super::system::System;
use crate::app::{Answer, eventually};

/// Waits until a worker has seen how many messages there are.
async fn noted(system: &System) {
    // Two beats from now, whatever was enqueued before has been noted.
    for _ in 0..2 {
        let before = beat(system).await;
        eventually("the next beat", async || (beat(system).await > before).then_some(())).await;
    }
}

async fn beat(system: &System) -> i64 {
    let options: sqlx::postgres::PgConnectOptions = system.postgres.url().parse().unwrap();
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query_scalar("SELECT beat FROM chargegate.watermark").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn of_an_emptied_redis_exactly_the_undecided_messages_are_lost_and_counted() {
    const DECIDED: usize = 15;
    const HELD: usize = 32;
    const LOST: usize = 25;
    // One window full is held by the worker; what is beyond waits in the queue alone.
    let flags = ["--window", "32", "--decision-deadline", "10m", "--acl-timeout", "5m"];
    let mut system = System::start(&flags).await;
    for n in 0..DECIDED {
        system.ask(&format!("/decided/{n}")).await.request_id();
        system.receiver.wait(&format!("/decided/{n}"), 1).await;
    }
    system.settled().await;
    system.authorizer.answer(Answer::Hang);
    for n in 0..HELD + LOST {
        system.ask(&format!("/waiting/{n}")).await.request_id();
    }
    eventually("the window is full", async || (system.authorizer.in_flight() == HELD).then_some(())).await;
    noted(&system).await;
    // The worker that held messages dies as well: they are nowhere but in the queue, and then not even there.
    system.redis.restart_empty().unwrap();
    system.workers.remove(0).kill().await;
    system.authorizer.answer(Answer::Status("allowed"));
    system.add_worker().await;

    let lost = HELD + LOST;
    let books = eventually("the loss is noted", async || {
        let (balanced, books) = system.reconcile().await;
        (!balanced && books["forgotten"] != 0).then_some(books)
    })
    .await;
    assert_eq!(books["lost"], json!(lost), "{books}");
    assert_eq!(books["enqueued"], json!(DECIDED + lost), "{books}");
    assert!(system.metric(0, "chargegate_queue_forgotten_total").await > 0.0, "the alarm");

    system.ready().await;
    for n in 0..10 {
        system.ask(&format!("/after/{n}")).await.request_id();
        system.receiver.wait(&format!("/after/{n}"), 1).await;
    }
    let (_, books) = system.reconcile().await;
    assert_eq!((&books["lost"], &books["decided"]), (&json!(lost), &json!(DECIDED + 10)), "{books}");
}
