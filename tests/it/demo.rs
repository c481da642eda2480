//! `up --demo` and the sample command that it prints.

use crate::app::{HttpClient, ProgramProcess, body, program};

#[tokio::test]
async fn the_demo_shows_all_four_statuses_at_its_sink() {
    let data = tempfile::tempdir().unwrap();
    let mut command = program();
    // The default data folder is a relative path, so the process needs its own working directory.
    command.args(["up", "--demo"]).current_dir(data.path()).env_clear();
    for flag in ["--listen", "--ops-listen", "--acl-listen", "--sink-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let process = ProgramProcess::spawn(command).await.unwrap();
    let sink = process.base("sink ");

    let invitation = process.line(|line| line.contains("-d '{")).await;
    let sample = invitation.split('\'').nth(1).unwrap().to_owned();
    assert!(sample.contains(&sink), "the sample calls back the sink: {sample}");

    let client = HttpClient::new();
    let url = format!("{}/v1/charging-sessions", process.edge);
    let id = client.post(&url, &sample, &[]).await.request_id();
    let line = process.line(|line| line.contains(&id)).await;
    assert!(line.contains(": allowed (acl)") && line.contains("driv***"), "{line}");
    for (token, status) in [
        ("driver-blocked-0000000001", "not_allowed"),
        ("driver-revoked-0000000001", "invalid"),
        ("driver-nobody-00000000001", "unknown"),
    ] {
        let body = body(token, &format!("{sink}/callback")).to_string();
        let id = client.post(&url, &body, &[]).await.request_id();
        let line = process.line(|line| line.contains(&id)).await;
        assert!(line.contains(&format!(": {status} (acl)")), "{line}");
    }
    assert!(!process.output().contains("driver-nobody") && !process.errors().contains("driver-"));
}
