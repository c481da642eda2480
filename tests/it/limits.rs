//! Limits of the whole program; limits of one crate are tested in that crate.

use std::time::Duration;

use http::StatusCode;

use crate::app::{AuthorizerAnswer, TOKEN, TestApp, TestEngine, eventually, on_every_engine};

on_every_engine! {
    a_hung_authorization_service_does_not_delay_decisions_beyond_the_deadline,
    calls_in_flight_do_not_exceed_the_slots,
    a_full_queue_answers_503_with_retry_after,
    a_hung_receiver_delays_only_its_own_callbacks,
}

async fn a_hung_authorization_service_does_not_delay_decisions_beyond_the_deadline(engine: TestEngine) {
    let app = TestApp::spawn_on(
        engine,
        &["--decision-deadline", "2s", "--acl-timeout", "500ms", "--acl-slots", "2"],
    )
    .await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..20 {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    // Two slots of 500 ms each decide at most a few requests in 2 s; only the deadline decides the others as `expired`.
    let mut expired = 0;
    for n in 0..20 {
        let callback = app.receiver.wait(&format!("/{n}"), 1).await.remove(0);
        assert_eq!(callback.status(), "unknown");
        let reason = callback.header("chargegate-decision-reason");
        assert!(["acl_timeout", "expired"].contains(&reason), "{reason}");
        expired += u32::from(reason == "expired");
        let at = |name| callback.header(name).parse::<u64>().unwrap();
        let age = at("chargegate-decided-at") - at("chargegate-accepted-at");
        assert!(age <= 2000, "decided after {age} ms");
    }
    assert!(expired > 0, "no request was decided by the deadline");
}

async fn calls_in_flight_do_not_exceed_the_slots(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &["--acl-slots", "3"]).await;
    // Long enough for calls to overlap, and far below the timeout, whose hang-ups the service would notice late.
    app.authorizer.set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(100), capacity: 100 });
    for n in 0..30 {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    for n in 0..30 {
        app.receiver.wait(&format!("/{n}"), 1).await;
    }
    assert_eq!(app.authorizer.max_in_flight(), 3);
}

async fn a_full_queue_answers_503_with_retry_after(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &["--queue-limit", "5"]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    let mut accepted = 0;
    let mut refused = 0;
    for n in 0..10 {
        let reply = app.ask(TOKEN, &format!("/{n}")).await;
        match reply.status {
            StatusCode::ACCEPTED => accepted += 1,
            StatusCode::SERVICE_UNAVAILABLE => {
                refused += 1;
                assert!(reply.header("retry-after").parse::<u32>().unwrap() > 0);
                assert_eq!(reply.header("content-type"), "application/problem+json");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((accepted, refused), (5, 5));
    let ready = app.ops("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["queue"], "full");
    let (balanced, books) = app.command(&["reconcile"]).await;
    assert!(balanced && books["enqueued"] == 5, "{books}");
}

async fn a_hung_receiver_delays_only_its_own_callbacks(engine: TestEngine) {
    // Two receivers on one machine are two hosts by name; 127.0.0.2 is loopback as well.
    let app = TestApp::spawn_on(
        engine,
        &["--callbacks-per-host", "2", "--callbacks", "8", "--callback-timeout", "30s"],
    )
    .await;
    let hanging = format!("http://127.0.0.2:{}", start_hung_receiver().await);
    for n in 0..20 {
        let body = crate::app::body(TOKEN, &format!("{hanging}/{n}"));
        app.post(&body, &[]).await.request_id();
    }
    for n in 0..20 {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    for n in 0..20 {
        app.receiver.wait(&format!("/{n}"), 1).await;
    }
    // The receiver sees a callback before the worker sees its response, so the last ones may still count.
    eventually("only two callbacks are in flight", async || {
        let metrics = app.ops("/metrics").await.body;
        metrics.contains("chargegate_callbacks_under_way 2").then_some(())
    })
    .await;
}

/// Starts a receiver that accepts connections and never answers; returns its port.
async fn start_hung_receiver() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    port
}
