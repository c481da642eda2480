//! Outages of the emulator.

use std::io::ErrorKind;
use std::time::Duration;

use chargegate_cloudflare_emulator::{EmulatorEndpoint, EmulatorFault};
use serde_json::json;
use tokio::net::TcpStream;

use crate::client::{EmulatorHarness, JOBS, TOKEN, bodies, connect, eventually, exchange, post, queue_path};

#[tokio::test]
async fn an_outage_cuts_and_refuses_connections_and_keeps_the_state() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    let address = rig.emulator.address();
    let mut idle = connect(address).await;
    let pull = || post(&format!("{}/messages/pull", queue_path(JOBS)), Some(TOKEN), String::new());

    rig.emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Hang, 1);
    let mut busy = connect(address).await;
    let hanging = tokio::spawn(async move { exchange(&mut busy, pull()).await });
    eventually(|| rig.emulator.calls(EmulatorEndpoint::Pull).calls > 0).await;

    rig.emulator.stop_listening().await;
    rig.emulator.stop_listening().await;
    hanging.await.unwrap().unwrap_err();
    exchange(&mut idle, pull()).await.unwrap_err();
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(rig.jobs().ready, 1);

    rig.emulator.listen_again().await.unwrap();
    rig.emulator.listen_again().await.unwrap();
    assert_eq!(rig.emulator.address(), address);
    assert_eq!(bodies(&rig.pull(1).await), ["a"]);
}

#[tokio::test]
async fn time_passes_during_an_outage() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    rig.pull(1).await;
    rig.emulator.stop_listening().await;
    rig.emulator.advance_clock(Duration::from_mins(1));
    assert_eq!(rig.jobs().ready, 1);
    rig.emulator.listen_again().await.unwrap();
    assert_eq!(rig.call("messages/pull", &json!({})).await.result()["messages"][0]["attempts"], 2);
}
