//! The emulator's program.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::{call, post};

fn program(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_cloudflare-queues-emulator"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn the_program_prints_its_addresses_and_ends_with_its_parent() {
    let queues = ["--queue", "jobs:cafe:dead=dead:max_retries=9", "--queue", "dead:beef"];
    let mut child = program(&[&["--account", "a", "--token", "t"], queues.as_slice()].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let (broker, api) =
        line.strip_prefix("cloudflare queues: broker http://").unwrap().split_once(", api ").unwrap();
    assert_eq!(api, format!("http://{broker}/client/v4"));
    let request =
        post("/client/v4/accounts/a/queues/cafe/messages", Some("t"), json!({ "body": 1 }).to_string());
    assert_eq!(call(broker.parse().unwrap(), request).await.unwrap().status, 200);

    drop(child.stdin.take());
    let ended = tokio::time::timeout(Duration::from_mins(3), child.wait()).await;
    assert!(ended.expect("the program ends with its standard input").unwrap().success());
}

#[tokio::test]
async fn the_program_refuses_settings_outside_cloudflares_limits() {
    let mut child = program(&["--account", "a", "--token", "t", "--queue", "jobs:cafe:max_retries=101"]);
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
}
