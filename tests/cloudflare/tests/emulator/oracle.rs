//! Cloudflare's own SDK as an independent client.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chargegate_cloudflare_emulator::{EmulatorEndpoint, EmulatorFault, EmulatorMessage, MessageContentType};
use serde_json::Value;
use tokio::process::Command;

use crate::client::{ACCOUNT, DEAD, EmulatorHarness, JOBS, TOKEN};

const SCRIPT: &str = include_str!("../../oracle/drive.mjs");
const VARIABLE: &str = "CHARGEGATE_CLOUDFLARE_SDK";

/// The SDK's module.
fn sdk() -> PathBuf {
    match env::var_os(VARIABLE) {
        Some(module) => module.into(),
        None => panic!("{VARIABLE} is not set: run by `cargo xtask test`, which sets it"),
    }
}

#[tokio::test]
async fn the_official_sdk_sends_pulls_settles_and_describes() {
    let rig = EmulatorHarness::start().await;
    assert!(
        rig.emulator.put(DEAD, EmulatorMessage::new(MessageContentType::Bytes, &b"\xff\x00"[..]).unwrap())
    );
    // The SDK retries a throttled call after `Retry-After`.
    rig.emulator.inject(EmulatorEndpoint::Queue, EmulatorFault::Throttled(Some(Duration::from_secs(1))), 1);

    let sdk = sdk();
    let node = Command::new("node")
        .args(["--input-type=module", "--eval", SCRIPT])
        .env("SDK", sdk)
        .env("BASE_URL", rig.emulator.api_url())
        .envs([("ACCOUNT", ACCOUNT), ("JOBS", JOBS), ("DEAD", DEAD), ("TOKEN", TOKEN)])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_mins(5), node)
        .await
        .expect("the SDK ends before the deadline")
        .expect("Node.js 20 or newer runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["bodies"], serde_json::json!(["grüß", "eyJhIjoxfQ==", "batched"]));

    // The state matches the responses that the SDK received.
    let view = rig.jobs();
    assert_eq!((view.outcomes.sent, view.outcomes.acknowledged, view.outcomes.retried), (4, 2, 1));
    assert_eq!((view.ready, view.delayed, view.leased), (0, 2, 0));
    assert_eq!(rig.emulator.calls(EmulatorEndpoint::Queue).calls, 3);
}
