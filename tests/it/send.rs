//! `chargegate send` against the program.

use crate::app::{AuthorizerAnswer, TestApp, program};

#[tokio::test]
async fn a_load_is_reported_completely_as_one_json_object() {
    let app = TestApp::spawn(&[]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    let mut send = program();
    send.args(["send", "--url", &app.process.edge, "--rate", "200", "--duration", "2s", "--json"])
        .env_clear();
    let output = send.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, expected) in
        [("sent", 400), ("accepted", 400), ("called_back", 400), ("missing", 0), ("contradictory", 0)]
    {
        assert_eq!(report[key], expected, "{report}");
    }
    for key in ["refused", "uncertain", "duplicated"] {
        assert!(report[key].is_u64(), "{report}");
    }
    for key in ["ack_ms", "callback_ms"] {
        for percentile in ["p50", "p90", "p99", "max"] {
            assert!(report[key][percentile].is_f64(), "{report}");
        }
    }
    app.assert_balanced(400).await;
}
