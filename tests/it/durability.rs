//! Durability of a 202: the data is synced before the acknowledgement.

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_request_is_synced_before_its_202() {
    use std::process::Stdio;

    use tokio::process::Command;

    use crate::app::{AuthorizerAnswer, TOKEN, TestApp, eventually};

    const REQUESTS: usize = 20;

    // The authorization service hangs and the window is full, so only the requests themselves cause writes.
    let app = TestApp::spawn(&[
        "--decision-deadline",
        "1h",
        "--acl-timeout",
        "30m",
        "--acl-slots",
        "1",
        "--window",
        "1",
    ])
    .await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    app.ask(TOKEN, "/before").await.request_id();
    eventually("the window is full", async || (app.authorizer.in_flight() == 1).then_some(())).await;

    let trace = app.data.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-s", "40", "-e", "trace=fsync,fdatasync,read,recvfrom,write,writev,sendto", "-o"]);
    strace.arg(&trace).args(["-p", &app.process.id().to_string()]).kill_on_drop(true);
    let mut strace = strace.stderr(Stdio::null()).spawn().expect("strace");
    let seen = async || tokio::fs::read_to_string(&trace).await.unwrap_or_default();
    eventually("strace is attached", async || {
        app.ops("/healthz").await;
        seen().await.contains("/healthz").then_some(())
    })
    .await;

    for n in 0..REQUESTS {
        app.ask(TOKEN, &format!("/{n}")).await.request_id();
    }
    app.ops("/end-of-trace").await;
    let text = eventually("the trace is complete", async || {
        let text = seen().await;
        text.contains("/end-of-trace").then_some(text)
    })
    .await;
    let _ = strace.kill().await;

    let mut acknowledged = 0;
    let mut synced = None;
    for line in text.lines() {
        if line.contains("\"POST /v1/charging-sessions") {
            synced = Some(false);
        } else if line.contains("fsync") || line.contains("fdatasync") {
            // strace splits a call that overlaps another thread's; the result is in the `resumed` line.
            if !line.contains("<unfinished") && synced.is_some() {
                synced = Some(true);
            }
        } else if line.contains("HTTP/1.1 202") {
            assert_eq!(synced.take(), Some(true), "a 202 without a sync before it");
            acknowledged += 1;
        }
    }
    assert_eq!(acknowledged, REQUESTS);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_refuses_requests_and_loses_no_accepted_one() {
    use http::Method;
    use tokio::process::Command;
    use tokio::task::JoinSet;

    use crate::app::{AuthorizerAnswer, ProgramProcess, TOKEN, TestApp, body};

    // Limits every file of the process to 1 MiB: writes beyond it fail as on a full disk.
    const SHELL: &str = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";

    let mut app =
        TestApp::spawn(&["--decision-deadline", "1h", "--acl-timeout", "30m", "--queue-limit", "1000000"])
            .await;
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    app.process.interrupt().await;
    assert!(app.process.ended().await.success());
    let program = std::env::var("CHARGEGATE_PROGRAM").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", SHELL, "sh", &program, "up", "--data-dir"]).arg(app.data.path()).env_clear();
    command
        .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .args(app.flags())
        .kill_on_drop(true);
    app.process = ProgramProcess::spawn(command).await.unwrap();

    let mut accepted = Vec::new();
    let mut refused = 0;
    let mut sent = 0;
    while refused < 100 {
        let mut round = JoinSet::new();
        for _ in 0..50 {
            sent += 1;
            assert!(sent < 20_000, "the disk never fills");
            let (client, url) = (app.client.clone(), format!("{}/v1/charging-sessions", app.process.edge));
            let path = format!("/{sent}");
            let body = body(TOKEN, &app.receiver.url(&format!("{path}?{}", "x".repeat(1900)))).to_string();
            round.spawn(async move {
                let headers = [("content-type", "application/json")];
                (path, client.send(Method::POST, &url, &body, &headers).await.expect("an answer").status)
            });
        }
        while let Some(done) = round.join_next().await {
            let (path, status) = done.unwrap();
            match status.as_u16() {
                202 => accepted.push(path),
                503 => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert!(!accepted.is_empty());

    app.process.kill().await;
    app.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    app.restart().await;
    for path in &accepted {
        app.receiver.wait(path, 1).await;
    }
}
