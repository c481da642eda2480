//! Sessions from request to callback, as seen by a client.

use http::StatusCode;
use serde_json::json;

use crate::app::{AuthorizerAnswer, STATION, TOKEN, TestApp, TestEngine, body, eventually, on_every_engine};

on_every_engine! {
    the_callback_body_has_three_fields_and_the_rest_is_in_headers,
    a_trace_continues_through_the_authorization_service_to_the_callback,
    a_repeat_under_the_same_key_gets_no_second_decision,
    an_operator_can_look_up_why_a_driver_was_refused,
    a_failed_callback_is_retried_and_a_redirect_is_not_followed,
    a_name_that_resolves_to_a_forbidden_address_is_never_called,
    secrets_are_absent_from_logs_even_at_trace_level,
}

async fn the_callback_body_has_three_fields_and_the_rest_is_in_headers(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &[]).await;
    for status in ["allowed", "not_allowed", "unknown", "invalid"] {
        app.authorizer.set_answer(AuthorizerAnswer::Status(status));
        let path = format!("/{status}");
        let id = app.ask(TOKEN, &path).await.request_id();
        let callback = app.receiver.wait(&path, 1).await.remove(0);
        let expected =
            format!(r#"{{"station_id":"{STATION}","driver_token":"{TOKEN}","status":"{status}"}}"#);
        assert_eq!(callback.body, expected);
        assert_eq!(callback.header("webhook-id"), id);
        assert_eq!(callback.header("content-type"), "application/json");
        assert_eq!(callback.header("chargegate-decision-reason"), "acl");
        let at = |name| callback.header(name).parse::<u64>().unwrap();
        assert!(at("chargegate-accepted-at") <= at("chargegate-decided-at"));
    }
    assert_eq!(app.authorizer.calls()[0].body, json!({ "station_id": STATION, "driver_token": TOKEN }));
    app.assert_balanced(4).await;
}

async fn a_trace_continues_through_the_authorization_service_to_the_callback(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &[]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let body = body(TOKEN, &app.receiver.url("/traced"));
    app.post(&body, &[("traceparent", &parent)]).await.request_id();
    let callback = app.receiver.wait("/traced", 1).await.remove(0);
    let asked = app.authorizer.calls()[0].traceparent.clone().unwrap();
    for child in [asked.as_str(), callback.header("traceparent")] {
        assert_eq!(&child[3..35], trace);
        assert_ne!(child, parent, "each call has its own span");
    }
}

async fn a_repeat_under_the_same_key_gets_no_second_decision(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &[]).await;
    let body = body(TOKEN, &app.receiver.url("/once"));
    let key = [("idempotency-key", "order-4711")];
    let first = app.post(&body, &key).await.request_id();
    app.receiver.wait("/once", 1).await;
    app.authorizer.set_answer(AuthorizerAnswer::Status("not_allowed"));
    assert_eq!(app.post(&body, &key).await.request_id(), first);
    eventually("the repeat is counted", async || {
        let (_, books) = app.command(&["reconcile"]).await;
        (books["duplicates"] == 1).then_some(())
    })
    .await;
    // Sent less than a minute ago, so it is not sent again.
    let callbacks = app.receiver.received("/once");
    assert_eq!(callbacks.len(), 1);
    assert_eq!(callbacks[0].status(), "allowed");
    app.assert_balanced(1).await;

    let mut other = body.clone();
    other["callback_url"] = app.receiver.url("/other").into();
    assert_ne!(app.post(&other, &key).await.request_id(), first, "another payload is another request");
}

async fn an_operator_can_look_up_why_a_driver_was_refused(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &[]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Status("not_allowed"));
    app.receiver.set_answers("/why", &[Some(500)]);
    let id = app.ask(TOKEN, "/why?secret=1").await.request_id();
    app.receiver.wait("/why", 2).await;
    let shown = eventually("the second attempt is recorded", async || {
        let (_, shown) = app.command(&["decisions", "show", &id]).await;
        let attempts = shown["attempts"].as_array().map_or(0, Vec::len);
        (attempts == 2).then_some(shown)
    })
    .await;
    let decision = &shown["decision"];
    assert_eq!((&decision["status"], &decision["reason"]), (&json!("not_allowed"), &json!("acl")), "{shown}");
    let text = shown.to_string();
    assert!(!text.contains(TOKEN) && !text.contains("secret"), "{text}");
    let (_, list) = app.command(&["decisions", "list", "--status", "not_allowed"]).await;
    assert!(list.to_string().contains(&id), "{list}");
    let (_, list) = app.command(&["decisions", "list", "--status", "allowed"]).await;
    assert!(!list.to_string().contains(&id), "{list}");
}

async fn a_failed_callback_is_retried_and_a_redirect_is_not_followed(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &[]).await;
    app.receiver.set_answers("/again", &[Some(500), Some(302), None]);
    let id = app.ask(TOKEN, "/again").await.request_id();
    // The third attempt hangs, so no further attempt arrives.
    let callbacks = app.receiver.wait("/again", 3).await;
    assert!(callbacks.iter().all(|callback| callback.header("webhook-id") == id));
    assert!(callbacks.iter().all(|callback| callback.body == callbacks[0].body));
    assert!(app.receiver.received("/redirected").is_empty());
}

async fn a_name_that_resolves_to_a_forbidden_address_is_never_called(engine: TestEngine) {
    let app = TestApp::spawn_exactly(engine, Vec::new()).await;
    let port = app.receiver.port;
    let literal = app.post(&body(TOKEN, &format!("http://127.0.0.1:{port}/x")), &[]).await;
    assert_eq!(literal.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(literal.json()["errors"][0]["code"], "forbidden_address");

    let id = app.post(&body(TOKEN, &format!("http://localhost:{port}/x")), &[]).await.request_id();
    let shown = eventually("the callback is given up", async || {
        let (found, shown) = app.command(&["decisions", "show", &id]).await;
        (found && shown.to_string().contains("blocked_address")).then_some(shown)
    })
    .await;
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
    assert!(app.receiver.received("/x").is_empty());
    let log = app.process.errors();
    assert!(log.contains("the address is in a forbidden range (loopback)"), "the rule is logged: {log}");
    app.assert_balanced(1).await;
}

async fn secrets_are_absent_from_logs_even_at_trace_level(engine: TestEngine) {
    let app = TestApp::spawn_on(engine, &["--log", "trace"]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Fail(500));
    app.receiver.set_answers("/hidden-path", &[Some(500)]);
    let url = app.receiver.url("/hidden-path?key=hidden-query");
    app.post(&body("hidden-token-0000000001", &url), &[("idempotency-key", "hidden-key")]).await.request_id();
    app.receiver.wait("/hidden-path", 2).await;
    let (log, output) = (app.process.errors(), app.process.output());
    assert!(log.contains("127.0.0.1"), "there is a log, and it names hosts");
    for secret in ["hidden-token", "hidden-path", "hidden-query", "hidden-key"] {
        assert!(!log.contains(secret) && !output.contains(secret), "{secret} was logged");
    }
    let metrics = app.ops("/metrics").await.body;
    assert!(
        metrics.contains(r#"chargegate_decisions_total{status="unknown",reason="acl_error"} 1"#),
        "{metrics}"
    );
    assert!(!metrics.contains("hidden"));
}
