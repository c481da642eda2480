//! One decision per request, also with repeats.

use super::*;

#[tokio::test]
async fn a_first_decision_is_recorded_with_its_callback_leased_to_the_caller() {
    let harness = SqliteHarness::new().await;
    let job = harness.decide(1, "Client.Example").await;
    assert_eq!(job.request_id, request_id(1));
    assert_eq!((job.attempt, job.round_attempt), (attempt(1), attempt(1)));
    assert_eq!(job.callback_url.as_str(), "https://client.example/callback?key=s3cret");
    assert_eq!(&*job.driver_token, "driver-allowed-0000000001");
    assert!(harness.claim(limits(10, 10)).await.is_empty());
    harness.clock.advance(harness.settings.callback_lease);
    let again = harness.claim(limits(10, 10)).await;
    assert_eq!((again[0].attempt, again[0].round_attempt), (attempt(2), attempt(2)));
    assert_eq!(again[0].round_age, harness.settings.callback_lease);
    assert_eq!(again[0].callback_url, job.callback_url);
    assert_eq!(again[0].decision, job.decision);
}

#[tokio::test]
async fn a_redelivered_message_changes_nothing() {
    let harness = SqliteHarness::new().await;
    let first = harness.record(vec![decided("1", message(1, "a.example"), harness.now())]).await;
    assert_eq!(first, [RecordVerdict::Decided]);
    let again = harness.record(vec![decided("1", message(1, "a.example"), harness.now())]).await;
    assert_eq!(again, [RecordVerdict::Redelivered]);
    assert_eq!(harness.number("SELECT count(*) FROM duplicate").await, 0);
}

#[tokio::test]
async fn another_message_with_the_same_request_is_a_duplicate_once() {
    let harness = SqliteHarness::new().await;
    harness.record(vec![decided("1", message(1, "a.example"), harness.now())]).await;
    let second = harness.record(vec![decided("2", message(1, "a.example"), harness.now())]).await;
    assert_eq!(second, [RecordVerdict::Duplicate { resent: false }]);
    let again = harness.record(vec![decided("2", message(1, "a.example"), harness.now())]).await;
    assert_eq!(again, [RecordVerdict::Redelivered]);
    assert_eq!(harness.number("SELECT count(*) FROM duplicate").await, 1);
    assert_eq!(harness.number("SELECT count(*) FROM decision").await, 1);
}

/// SQLite identifies an outcome by its message as well, which the suite does not require.
#[tokio::test]
async fn a_message_is_recorded_once_even_with_another_request() {
    let harness = SqliteHarness::new().await;
    let now = harness.now();
    let recorded = harness
        .record(vec![
            decided("redis-1-0", message(2, "a.example"), now),
            decided("redis-1-0", message(3, "a.example"), now),
        ])
        .await;
    assert_eq!(recorded, [RecordVerdict::Decided, RecordVerdict::Redelivered]);
    assert_eq!(harness.number("SELECT count(*) FROM decision").await, 1);
    assert_eq!(harness.number("SELECT count(*) FROM callback").await, 1);
}

#[tokio::test]
async fn a_message_is_never_both_decided_and_poison() {
    let harness = SqliteHarness::new().await;
    harness.record(vec![decided("1", message(1, "a.example"), harness.now()), poison("2")]).await;
    let swapped = harness
        .record(vec![poison("1"), decided("2", message(2, "a.example"), harness.now()), poison("2")])
        .await;
    assert_eq!(swapped, [RecordVerdict::Redelivered; 3]);
    assert_eq!(harness.number("SELECT count(*) FROM poison").await, 1);
    assert_eq!(harness.number("SELECT count(*) FROM decision").await, 1);
}
