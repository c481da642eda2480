//! Shutdown, restart, and refused starts.

use std::time::Duration;

use crate::app::{
    AuthorizerAnswer, ProgramProcess, TOKEN, TestApp, TestEngine, eventually, on_every_engine, program,
};

on_every_engine! {
    a_restart_continues_unfinished_work,
    a_stop_finishes_the_call_in_flight,
}

async fn a_restart_continues_unfinished_work(engine: TestEngine) {
    let mut app = TestApp::spawn_on(engine, &["--acl-slots", "1", "--decision-deadline", "1h"]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..10 {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    eventually("a call is in flight", async || (app.authorizer.in_flight() == 1).then_some(())).await;
    app.process.interrupt().await;
    assert!(app.process.ended().await.success(), "{}", app.process.errors());
    assert!(app.process.output().contains("stopped"), "{}", app.process.output());

    app.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    app.restart().await;
    for n in 0..10 {
        app.receiver.wait(&format!("/{n}"), 1).await;
    }
    app.assert_balanced(10).await;
}

async fn a_stop_finishes_the_call_in_flight(engine: TestEngine) {
    let mut app = TestApp::spawn_on(engine, &[]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(300), capacity: 10 });
    app.ask(TOKEN, "/begun").await.request_id();
    eventually("the call is in flight", async || (app.authorizer.in_flight() == 1).then_some(())).await;
    app.process.interrupt().await;
    assert!(app.process.ended().await.success());
    assert_eq!(app.receiver.received("/begun")[0].status(), "allowed");
    app.assert_balanced(1).await;
}

#[tokio::test]
async fn two_processes_never_share_a_data_folder() {
    let app = TestApp::spawn(&[]).await;
    let mut second = program();
    second.args([
        "up",
        "--acl-url",
        "http://127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
    ]);
    second.arg("--data-dir").arg(app.data.path()).env_clear();
    let refused = ProgramProcess::spawn(second).await.err().expect("a refusal");
    assert!(refused.contains("--data-dir"), "{refused}");
    app.ask(TOKEN, "/first").await.request_id();
    app.receiver.wait("/first", 1).await;
}

#[tokio::test]
async fn a_start_error_names_its_variable() {
    let data = tempfile::tempdir().unwrap();
    for (flags, named) in [
        (&["--acl-url", "ftp://acl.internal"][..], "CHARGEGATE_ACL_URL"),
        (&["--acl-url", "http://a", "--callback-allow", "10.0.0.0/33"], "CHARGEGATE_CALLBACK_ALLOW"),
        (&["--acl-url", "http://a", "--callback-ports", "https"], "CHARGEGATE_CALLBACK_PORTS"),
        (&["--acl-url", "http://a", "--decision-deadline", "2s"], "CHARGEGATE_DECISION_DEADLINE"),
        (&["--acl-url", "http://a", "--edge-component", "/nonexistent"], "--edge-component"),
        (&["--acl-url", "http://a", "--enqueue-timeout", "2m"], "CHARGEGATE_ENQUEUE_TIMEOUT"),
        (&["--acl-url", "http://a", "--acl-slots", "18446744073709551615"], "--acl-slots"),
        (&["--acl-url", "http://a", "--log", "a=b=c"], "CHARGEGATE_LOG"),
        (&[], "--acl-url"),
    ] {
        let mut command = program();
        command.args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(data.path()).args(flags).env_clear();
        let refused =
            ProgramProcess::spawn(command).await.err().unwrap_or_else(|| panic!("{flags:?} started"));
        assert!(refused.contains(named), "{flags:?}: {refused}");
    }
}
