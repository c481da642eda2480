//! A 202 is durable: a sync stands between the request and its acknowledgement.

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_sync_stands_between_each_request_and_its_202() {
    use std::process::Stdio;

    use tokio::process::Command;

    use crate::app::{Answer, App, TOKEN, eventually};

    const REQUESTS: usize = 20;

    // The authorization service hangs: nothing but the requests themselves has anything to write.
    let app = App::spawn(&["--decision-deadline", "1h", "--acl-timeout", "30m", "--acl-slots", "1"]).await;
    app.authorizer.answer(Answer::Hang);
    app.ask(TOKEN, "/before").await.request_id();
    eventually("the window is settled", async || (app.authorizer.in_flight() == 1).then_some(())).await;

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
    let text = eventually("the trace is whole", async || {
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
            // A call that another thread's line interrupts is reported when it resumes.
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
