//! Load at twice the capacity of the authorization service.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::{AuthorizerAnswer, TOKEN, TestApp, TestEngine, body, on_every_engine};

on_every_engine! {
    at_twice_the_capacity_nine_tenths_of_the_answers_are_used,
}

/// Capacity of the service: 10 concurrent calls of 100 ms each.
const CAPACITY_PER_S: u32 = 100;
/// A tenth of the default, which keeps the test short.
const DEADLINE: &str = "3s";
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
            let body = body(TOKEN, &app.receiver.url(&format!("/{n}")));
            app.post(&body, &[]).await.status == StatusCode::ACCEPTED
        }));
    }
    let requested = requests.len();
    let (mut accepted, mut allowed, mut expired) = (0, 0_u32, 0_u32);
    for (n, request) in requests.into_iter().enumerate() {
        // On a busy machine a confirmation may come too late.
        if !request.await.unwrap() {
            continue;
        }
        accepted += 1;
        let callback = app.receiver.wait(&format!("/{n}"), 1).await.remove(0);
        allowed += u32::from(callback.status() == "allowed");
        expired += u32::from(callback.header("chargegate-decision-reason") == "expired");
    }
    assert!(accepted * 10 >= requested * 9, "{accepted} of {requested} requests were accepted");
    // Without the deadline the excess would queue up, and every request would wait until it is allowed.
    assert!(expired > 0, "{allowed} requests were allowed and none has expired");
    assert!(app.authorizer.max_in_flight() <= 10);
    // Relative to the answers given, since a busy machine gives fewer: a call for a request past its deadline would be
    // wasted. The share of the nominal capacity shows that the slots are used at all, on a machine ten times slower, too.
    let answered = u32::try_from(app.authorizer.answered()).unwrap();
    assert!(allowed <= answered);
    assert!(allowed * 10 >= answered * 9, "{allowed} of {answered} answers were used");
    let possible = CAPACITY_PER_S * u32::try_from(LOAD.as_secs()).unwrap();
    assert!(allowed * 10 >= possible, "{allowed} of {possible} possible answers");
}
