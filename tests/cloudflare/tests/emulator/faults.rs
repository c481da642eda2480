//! Each kind of fault.

use std::pin::pin;
use std::time::{Duration, Instant};

use chargegate_cloudflare_emulator::{EmulatorEndpoint, EmulatorFault, GarbageBody};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::client::{EmulatorHarness, JOBS, TOKEN, bodies, connect, eventually, post, queue_path};

#[tokio::test]
async fn a_fault_refuses_its_number_of_calls_and_no_more() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    let wait = Duration::from_millis(1_500);
    for (fault, refusal, retry_after) in [
        (EmulatorFault::Throttled(Some(wait)), (429, 10_250), Some("2")),
        (EmulatorFault::Throttled(None), (429, 10_250), None),
        (EmulatorFault::Internal, (500, 15_000), None),
        (EmulatorFault::Forbidden, (403, 10_000), None),
    ] {
        rig.emulator.inject(EmulatorEndpoint::Pull, fault, 2);
        assert_eq!(rig.call("messages/ack", &json!({})).await.status, 200);
        for left in [1, 0] {
            let answer = rig.call("messages/pull", &json!({})).await;
            assert_eq!((answer.refusal(), answer.retry_after()), (refusal, retry_after));
            assert_eq!(rig.emulator.faults_left(EmulatorEndpoint::Pull), left);
        }
    }
    assert_eq!(bodies(&rig.pull(1).await), ["a"]);
    assert_eq!(rig.jobs().outcomes.delivered, 1);
}

#[tokio::test]
async fn the_broker_is_refused_by_status_and_headers() {
    let rig = EmulatorHarness::start().await;
    rig.emulator.inject(EmulatorEndpoint::BrokerMessage, EmulatorFault::Throttled(None), 1);
    rig.emulator.inject(EmulatorEndpoint::BrokerMessage, EmulatorFault::Internal, 1);
    assert_eq!(rig.runtime("/message", &[], "x").await.broker_refusal(), (429, 10_250));
    assert_eq!(rig.runtime("/message", &[], "x").await.broker_refusal(), (500, 15_000));
    assert_eq!(rig.runtime("/message", &[], "x").await.status, 200);
    assert_eq!(rig.jobs().outcomes.sent, 1);
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_processing_or_within_the_response() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a", "b"]).await;
    let pull = json!({ "batch_size": 1 });
    for (fault, leased) in
        [(EmulatorFault::CutBefore, 0), (EmulatorFault::CutAfter, 1), (EmulatorFault::CutWithin, 2)]
    {
        rig.emulator.inject(EmulatorEndpoint::Pull, fault, 1);
        rig.try_call("messages/pull", &pull).await.unwrap_err();
        assert_eq!(rig.jobs().leased, leased, "{fault:?}");
    }
    assert_eq!(rig.call("messages/pull", &pull).await.status, 200);
}

#[tokio::test]
async fn an_acknowledgement_with_a_lost_response_takes_effect() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    let messages = rig.pull(1).await;
    let acks = json!({ "acks": crate::client::leases(&messages) });
    rig.emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::CutAfter, 1);
    rig.try_call("messages/ack", &acks).await.unwrap_err();
    assert_eq!(rig.jobs().outcomes.acknowledged, 1);
    assert_eq!(rig.call("messages/ack", &acks).await.result()["ackCount"], 1);
    assert_eq!(rig.jobs().outcomes.acknowledged, 1);
}

#[tokio::test]
async fn a_hung_call_has_no_response_and_no_effect() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    rig.emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Hang, 1);
    let body = json!({});
    let mut hanging = pin!(rig.try_call("messages/pull", &body));
    tokio::select! {
        answer = &mut hanging => panic!("it answered: {answer:?}"),
        () = eventually(|| rig.emulator.faults_left(EmulatorEndpoint::Pull) == 0) => {}
    }
    // A whole other call gives the hung one enough time to answer.
    tokio::select! {
        answer = &mut hanging => panic!("it answered: {answer:?}"),
        messages = rig.pull(1) => assert_eq!(bodies(&messages), ["a"]),
    }
}

#[tokio::test]
async fn a_slow_call_is_delayed() {
    let rig = EmulatorHarness::start().await;
    let time = Duration::from_millis(300);
    rig.emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::Slow(time), 1);
    let start = Instant::now();
    assert_eq!(rig.call("messages/ack", &json!({})).await.status, 200);
    assert!(start.elapsed() >= time);
}

#[tokio::test]
async fn garbage_is_a_success_with_an_unusable_body() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a", "b", "c"]).await;
    for (garbage, json) in
        [(GarbageBody::NotJson, false), (GarbageBody::OtherShape, true), (GarbageBody::Half, false)]
    {
        rig.emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Garbage(garbage), 1);
        let answer = rig.call("messages/pull", &json!({ "batch_size": 1 })).await;
        assert_eq!(answer.status, 200);
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).is_ok(), json, "{garbage:?}");
    }
    assert_eq!(rig.jobs().leased, 3);
}

#[tokio::test]
async fn an_endless_response_does_not_end() {
    let rig = EmulatorHarness::start().await;
    rig.emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Garbage(GarbageBody::Endless), 1);
    let mut connection = connect(rig.emulator.address()).await;
    let request = post(&format!("{}/messages/pull", queue_path(JOBS)), Some(TOKEN), String::new());
    let mut body = connection.send_request(request).await.unwrap().into_body();
    let mut bytes = 0;
    while bytes < 32 * 1024 * 1024 {
        bytes += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test]
async fn a_duplicate_is_redelivered_during_its_lease() {
    let rig = EmulatorHarness::start().await;
    rig.emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::Duplicate, 1);
    // The fault waits for a pull that returns messages.
    assert_eq!(rig.pull(1).await, [Value::Null; 0]);
    rig.send(&["a"]).await;
    let (first, second) = (rig.pull(1).await, rig.pull(1).await);
    assert_eq!((&first[0]["id"], bodies(&second)), (&second[0]["id"], vec!["a"]));
    for messages in [first, second] {
        assert_eq!(rig.acknowledge(&messages).await["ackCount"], 1);
    }
    assert_eq!(rig.jobs().outcomes.acknowledged, 1);
}

#[tokio::test]
async fn wrong_lease_ids_acknowledge_nothing() {
    let rig = EmulatorHarness::start().await;
    rig.send(&["a"]).await;
    rig.emulator.inject(EmulatorEndpoint::Pull, EmulatorFault::WrongLeases, 1);
    let settled = rig.acknowledge(&rig.pull(1).await).await;
    assert_eq!((&settled["ackCount"], settled["warnings"].as_object().unwrap().len()), (&json!(0), 1));
    assert_eq!(rig.jobs().leased, 1);
    rig.emulator.advance_clock(Duration::from_mins(1));
    assert_eq!(rig.acknowledge(&rig.pull(1).await).await["ackCount"], 1);
}

#[tokio::test]
async fn faults_follow_each_other_and_can_be_cleared() {
    let rig = EmulatorHarness::start().await;
    rig.emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::Internal, 1);
    rig.emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::Forbidden, 7);
    assert_eq!(rig.call("messages/ack", &json!({})).await.status, 500);
    assert_eq!(rig.call("messages/ack", &json!({})).await.status, 403);
    assert_eq!(rig.emulator.faults_left(EmulatorEndpoint::Ack), 6);
    rig.emulator.clear_faults();
    assert_eq!(rig.call("messages/ack", &json!({})).await.status, 200);
}
