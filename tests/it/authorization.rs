//! The authorization service as an operator sets it up: flags, files and `chargegate acl check`.

use std::path::Path;

use serde_json::Value;

use crate::app::{AuthorizerAnswer, FakeAuthorizationService, STATION, TOKEN, TestApp, eventually, program};

/// Runs `acl check` and returns its exit code and its output.
async fn check(url: &str, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = program();
    command.args(["acl", "check", "--acl-url", url, "--station-id", STATION]).args(flags).env_clear();
    let output = command.env("CHARGEGATE_CHECK_DRIVER_TOKEN", TOKEN).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_check_explains_the_answer_and_hides_the_token() {
    let service = FakeAuthorizationService::start().await;
    let (code, text) = check(&service.url(), &[]).await;
    assert_eq!(code, Some(0), "{text}");
    for part in ["/v1/authorizations", "response  200", "/status is \"allowed\"", "result    allowed", "***"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    service.set_answer(AuthorizerAnswer::Fail(500));
    let (failed, explained) = check(&service.url(), &[]).await;
    assert_eq!(failed, Some(1), "{explained}");
    assert!(explained.contains("no rule matches a response with status 500"), "{explained}");
    assert!(!text.contains(TOKEN) && !explained.contains(TOKEN));
    assert_eq!(service.calls().len(), 2);
    assert_eq!(service.calls()[0].body["driver_token"], TOKEN);
}

#[tokio::test]
async fn a_check_names_the_setting_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let profile = write(
        "profile.toml",
        "[request]\nmethod = \"POST\"\npath = \"/{driver}\"\n[[answer]]\nstatus = 200\n",
    );
    let empty = write("empty", "");
    let pem = write("client.pem", "nothing");
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    for (url, flags, named) in [
        ("ftp://acl", vec![], "--acl-url or CHARGEGATE_ACL_URL: must be a URL"),
        ("http://acl", vec!["--acl-profile", profile.as_str()], "line 3: path: unknown placeholder"),
        ("http://acl", vec!["--acl-profile", absent], "--acl-profile or CHARGEGATE_ACL_PROFILE"),
        (
            "http://acl",
            vec!["--acl-token-file", empty.as_str()],
            "--acl-token-file or CHARGEGATE_ACL_TOKEN_FILE",
        ),
        ("http://acl", vec!["--acl-token-file", absent], "cannot be read"),
        ("http://acl", vec!["--acl-ca-file", pem.as_str()], "need an https URL"),
        ("https://acl", vec!["--acl-ca-file", pem.as_str()], "--acl-ca-file or CHARGEGATE_ACL_CA_FILE"),
        ("https://acl", vec!["--acl-client-cert-file", pem.as_str()], "--acl-client-key-file"),
        ("http://acl", vec!["--acl-token-header", "x-key"], "--acl-token-file"),
    ] {
        let (code, text) = check(url, &flags).await;
        assert_ne!(code, Some(0), "{text}");
        assert!(text.contains(named), "{named} in {text}");
    }
}

#[tokio::test]
async fn the_reference_service_still_needs_its_table() {
    let output = program().arg("acl").env_clear().output().await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--file"));
}

#[tokio::test]
async fn readiness_names_a_token_that_became_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token-1").unwrap();
    let app = TestApp::spawn(&["--acl-token-file", path_text(&token)]).await;
    let acl = async || {
        let body: Value = app.ops("/readyz").await.json();
        body["acl"].as_str().unwrap().to_owned()
    };
    assert_eq!(acl().await, "ok");
    std::fs::remove_file(&token).unwrap();
    eventually("a report of the absent file", async || {
        // The file is looked at when a call is made.
        app.ask(TOKEN, "/again").await.request_id();
        acl().await.contains("cannot be read").then_some(())
    })
    .await;
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
