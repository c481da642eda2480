//! The whole program on cloud queues, where they differ from the engines of the other tests.

mod start;
mod workers;

use serde_json::Value;

use crate::app::{AuthorizerAnswer, CLOUDFLARE_QUEUE_ID, TOKEN, TestApp, TestEngine, eventually};

macro_rules! on_every_cloud {
    ($($test:ident,)*) => {
        mod on_sqs {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::app::TestEngine::Sqs).await;
            })*
        }
        mod on_cloudflare {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::app::TestEngine::Cloudflare).await;
            })*
        }
    };
}

on_every_cloud! {
    a_session_is_decided_and_the_client_called_back,
    messages_in_flight_at_a_kill_are_decided_once,
    a_stop_releases_messages_that_were_not_started,
}

async fn a_session_is_decided_and_the_client_called_back(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &[]).await;
    let id = app.ask(TOKEN, "/first").await.request_id();
    let callback = app.receiver.wait("/first", 1).await.remove(0);
    assert_eq!((callback.status().as_str(), callback.header("webhook-id")), ("allowed", id.as_str()));
    let books = wait_until_settled(&app, 1).await;
    assert_eq!(books["enqueued"], Value::Null, "this queue does not count messages: {books}");
    let ready = app.ops("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
}

/// The messages are redelivered when their leases expire, at most 5 s after the deadline.
async fn messages_in_flight_at_a_kill_are_decided_once(engine: TestEngine) {
    let flags = ["--decision-deadline", "3s", "--acl-timeout", "2s", "--acl-slots", "4"];
    let mut app = TestApp::spawn_on(engine, &flags).await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..6 {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    eventually("the worker calls the service", async || (app.authorizer.in_flight() == 4).then_some(()))
        .await;
    app.process.kill().await;
    app.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    app.restart().await;
    for n in 0..6 {
        app.receiver.wait(&format!("/{n}"), 1).await;
    }
    wait_until_settled(&app, 6).await;
}

/// A Cloudflare lease lasts 125 s here, and messages that were not started must not wait until it expires.
async fn a_stop_releases_messages_that_were_not_started(engine: TestEngine) {
    let flags = ["--decision-deadline", "2m", "--acl-timeout", "10s", "--acl-slots", "1"];
    let mut app = TestApp::spawn_on(engine, &flags).await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..3 {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    eventually("the worker calls the service", async || (app.authorizer.in_flight() == 1).then_some(()))
        .await;
    app.process.interrupt().await;
    assert!(app.process.ended().await.success(), "{}", app.process.errors());
    if let Some(emulator) = app.backend().and_then(|backend| backend.cloudflare()) {
        let queue = emulator.queue(CLOUDFLARE_QUEUE_ID).expect("its queue");
        assert_eq!((queue.ready, queue.leased), (2, 0), "{queue:?}");
    }
    app.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    app.restart().await;
    let mut allowed = 0;
    for n in 0..3 {
        let callback = app.receiver.wait(&format!("/{n}"), 1).await.remove(0);
        allowed += u32::from(callback.status() == "allowed");
    }
    assert_eq!(allowed, 2, "all but the one whose call was in flight");
    wait_until_settled(&app, 3).await;
}

/// Waits until `decided` requests are decided and none is waiting; the books must balance throughout.
async fn wait_until_settled(app: &TestApp, decided: u64) -> Value {
    eventually("nothing is left to do", async || {
        let (balanced, books) = app.command(&["reconcile"]).await;
        assert!(balanced, "{books}");
        let over = books["decided"] == decided && books["waiting"] == 0 && books["in_flight"] == 0;
        over.then_some(books)
    })
    .await
}
