//! A start that fails on a cloud queue prints one line with the variable and the remedy.

use tokio::time::timeout;

use crate::app::{TEST_DEADLINE, TestApp, TestEngine, program};

/// Returns the error line of `reconcile` with one variable of `app` changed, or removed if `value` is empty.
async fn refused(app: &TestApp, variable: &str, value: &str) -> String {
    let mut command = program();
    command.arg("reconcile").env_clear();
    app.backend().expect("servers").configure(&mut command);
    if value.is_empty() {
        command.env_remove(variable);
    } else {
        command.env(variable, value);
    }
    let output = timeout(TEST_DEADLINE, command.output()).await.expect("an end").unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{errors}");
    let line = errors.lines().find(|line| line.starts_with("error: ")).expect("one line").to_owned();
    assert!(!line.contains("s3cret"), "{line}");
    line
}

#[track_caller]
fn assert_mentions(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
}

#[tokio::test]
async fn an_unusable_cloudflare_queue_is_reported_with_its_variable() {
    let app = TestApp::spawn_on(TestEngine::Cloudflare, &[]).await;
    let line = refused(&app, "CLOUDFLARE_API_TOKEN", "s3cret").await;
    assert_mentions(&line, &["CLOUDFLARE_API_TOKEN"]);
    let line = refused(&app, "CLOUDFLARE_API_TOKEN", "").await;
    assert_mentions(&line, &["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_TOKEN_FILE"]);
    let line = refused(&app, "QUEUE_URL", "cloudflare://s3cret/x").await;
    assert_mentions(&line, &["QUEUE_URL", "cloudflare://ACCOUNT/QUEUE_ID"]);
    let gone = format!("cloudflare://023e105f4ecef8ad9ca31a8372d0c353/{}", "0".repeat(32));
    let line = refused(&app, "QUEUE_URL", &gone).await;
    assert_mentions(&line, &["QUEUE_URL"]);
    let line = refused(&app, "CLOUDFLARE_BASE_URL", "http://127.0.0.1:1").await;
    assert_mentions(&line, &["QUEUE_URL", "CLOUDFLARE_BASE_URL"]);
}

#[tokio::test]
async fn the_token_may_be_in_a_file() {
    let app = TestApp::spawn_on(TestEngine::Cloudflare, &[]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = program();
    command.arg("reconcile").env_clear();
    app.backend().expect("servers").configure(&mut command);
    command.env_remove("CLOUDFLARE_API_TOKEN").env("CLOUDFLARE_API_TOKEN_FILE", file.path());
    let empty = timeout(TEST_DEADLINE, command.output()).await.expect("an end").unwrap();
    let errors = String::from_utf8(empty.stderr).unwrap();
    assert_mentions(&errors, &["CLOUDFLARE_API_TOKEN_FILE"]);
    assert!(!empty.status.success());
    std::fs::write(file.path(), "a-token-of-the-emulator\n").unwrap();
    let output = timeout(TEST_DEADLINE, command.output()).await.expect("an end").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn an_unusable_sqs_queue_is_reported_with_its_variable() {
    let app = TestApp::spawn_on(TestEngine::Sqs, &[]).await;
    let endpoint = std::env::var("CHARGEGATE_SQS_ENDPOINT").unwrap();
    let host = endpoint.trim_start_matches("http://");
    for (url, words) in [
        (format!("sqs+http://{host}/123456789012/none?region=eu-central-1"), ["QUEUE_URL", "queue"]),
        (format!("sqs+http://{host}/123456789012/none"), ["QUEUE_URL", "region"]),
        ("sqs://sqs.eu-central-1.amazonaws.com/123456789012/a.fifo".to_owned(), ["QUEUE_URL", "FIFO"]),
        ("sqs+http://127.0.0.1:1/1/q?region=eu-central-1".to_owned(), ["QUEUE_URL", "cannot be reached"]),
        ("sqs:s3cret".to_owned(), ["QUEUE_URL", "sqs://"]),
        ("amqp://u:s3cret@h".to_owned(), ["QUEUE_URL", "cloudflare://"]),
    ] {
        let line = refused(&app, "QUEUE_URL", &url).await;
        assert_mentions(&line, &words);
    }
}

#[tokio::test]
async fn an_external_edge_needs_a_queue_on_a_server() {
    let mut command = program();
    command.env_clear().args(["up", "--demo", "--external-edge", "http://127.0.0.1:3000"]);
    let output = timeout(TEST_DEADLINE, command.output()).await.expect("an end").unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{errors}");
    assert_mentions(&errors, &["--external-edge", "QUEUE_URL", "DATABASE_URL"]);
}
