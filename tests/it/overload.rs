//! Load at twice the capacity of the authorization service.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::app::{AuthorizerAnswer, TOKEN, TestApp, TestEngine, body, on_every_engine};

on_every_engine! {
    at_twice_the_capacity_nine_tenths_of_the_answers_are_used,
}

/// Capacity of the service: 10 concurrent calls of 100 ms each.
const CAPACITY_PER_S: u32 = 100;
/// A tenth of the default, which keeps the test short.
const DEADLINE: &str = "3s";
/// Upper bound on the time to a callback. Without the deadline half of the load would queue up, and the last callback
/// would take `LOAD`; the rest above the deadline is for a busy machine.
const CALLBACK_BOUND: Duration = Duration::from_secs(10);
const LOAD: Duration = Duration::from_secs(12);

async fn at_twice_the_capacity_nine_tenths_of_the_answers_are_used(engine: TestEngine) {
    let flags =
        ["--acl-slots", "10", "--decision-deadline", DEADLINE, "--acl-timeout", "1s", "--log", "error"];
    let app = Arc::new(TestApp::spawn_on(engine, &flags).await);
    app.authorizer.set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(100), capacity: 10 });

    let mut ticks = tokio::time::interval(Duration::from_secs(1) / (2 * CAPACITY_PER_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begin = Instant::now();
    let mut requests = Vec::new();
    while begin.elapsed() < LOAD {
        ticks.tick().await;
        let (app, n) = (Arc::clone(&app), requests.len());
        requests.push(tokio::spawn(async move {
            let sent = std::time::Instant::now();
            let body = body(TOKEN, &app.receiver.url(&format!("/{n}")));
            app.post(&body, &[]).await.request_id();
            sent
        }));
    }
    let mut allowed = 0_u32;
    for (n, request) in requests.into_iter().enumerate() {
        let sent = request.await.unwrap();
        let callback = app.receiver.wait(&format!("/{n}"), 1).await.remove(0);
        let took = callback.at.duration_since(sent);
        assert!(took <= CALLBACK_BOUND, "{n} was called back after {took:?}");
        allowed += u32::from(callback.status() == "allowed");
    }
    assert!(app.authorizer.max_in_flight() <= 10);
    // Relative to the answers given, since a busy machine gives fewer: a call for a request past its deadline would be
    // wasted. The share of the nominal capacity shows that the slots stay busy.
    let answered = u32::try_from(app.authorizer.answered()).unwrap();
    assert!(allowed <= answered);
    assert!(allowed * 10 >= answered * 9, "{allowed} of {answered} answers were used");
    let possible = CAPACITY_PER_S * u32::try_from(LOAD.as_secs()).unwrap();
    assert!(allowed * 10 >= possible * 9, "{allowed} of {possible} possible answers");
}
