use super::super::fake_service::{FAKE_SETTINGS, FakePullService};
use super::super::service::ReceivedMessage;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_release_completes_although_its_message_was_redelivered() {
    let engine = FakePullService::new(FAKE_SETTINGS).engine();
    let in_flight = &engine.state.in_flight;
    let key = MessageKey::from("a".to_owned());
    let received = |receipt: &str| ReceivedMessage {
        key: key.clone(),
        receipt: receipt.to_owned().into(),
        body: Vec::new(),
        enqueued_at: None,
        deliveries: 1,
    };
    in_flight.insert(&received("first"), Instant::now());
    let lease = in_flight.begin_end(&key, LeaseOutcome::Release).unwrap();
    in_flight.insert(&received("second"), Instant::now());
    in_flight.begin_end(&key, LeaseOutcome::Ack).unwrap();

    let (done, result) = oneshot::channel();
    let job = AckJob { key: key.clone(), outcome: LeaseOutcome::Release, lease, done };
    assert!(engine.state.finish(vec![job], &HashSet::new()).is_empty());
    result.await.unwrap().unwrap();
    assert!(in_flight.contains(&key), "the lease of the redelivery has not ended");
}
