//! The authorization service at twice what it can do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::app::{AuthorizerAnswer, STATION, TOKEN, TestApp, TestEngine, body, on_every_engine};

on_every_engine! {
    twice_the_capacity_still_uses_nine_tenths_of_it,
}

/// The service takes 100 ms a call, 10 at once: 100 calls a second.
const CAPACITY_PER_S: u32 = 100;
/// A tenth of the design's times, so that the test is short.
const DEADLINE: Duration = Duration::from_secs(3);
const LOAD: Duration = Duration::from_secs(12);

async fn twice_the_capacity_still_uses_nine_tenths_of_it(engine: TestEngine) {
    let flags = ["--acl-slots", "10", "--decision-deadline", "3s", "--acl-timeout", "1s", "--log", "error"];
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
        assert!(took <= DEADLINE + Duration::from_secs(1), "{n} was called back after {took:?}");
        allowed += u32::from(callback.status() == "allowed");
    }
    assert!(app.authorizer.max_in_flight() <= 10);
    let possible = CAPACITY_PER_S * u32::try_from(LOAD.as_secs()).unwrap();
    assert!(allowed * 10 >= possible * 9, "{allowed} of {possible} possible answers for {STATION}");
    assert!(app.authorizer.answered() >= usize::try_from(allowed).unwrap());
}
