//! One decision per request, also under repeats.

use super::*;

#[tokio::test]
async fn a_first_decision_is_recorded_with_its_callback_leased_to_the_caller() {
    let bench = Bench::new().await;
    let job = bench.decide(1, "Client.Example").await;
    assert_eq!(job.request_id, request_id(1));
    assert_eq!((job.attempt, job.round_attempt), (attempt(1), attempt(1)));
    assert_eq!(job.callback_url.as_str(), "https://client.example/callback?key=s3cret");
    assert_eq!(&*job.driver_token, "driver-allowed-0000000001");
    assert!(bench.claim(limits(10, 10)).await.is_empty());
    bench.clock.advance(bench.settings.callback_lease);
    let again = bench.claim(limits(10, 10)).await;
    assert_eq!((again[0].attempt, again[0].round_attempt), (attempt(2), attempt(2)));
    assert_eq!(again[0].round_age, bench.settings.callback_lease);
    assert_eq!(again[0].callback_url, job.callback_url);
    assert_eq!(again[0].decision, job.decision);
}

#[tokio::test]
async fn a_message_delivered_again_changes_nothing() {
    let bench = Bench::new().await;
    let first = bench.record(vec![decided("1", message(1, "a.example"), bench.now())]).await;
    assert_eq!(first, [RecordVerdict::Decided]);
    let again = bench.record(vec![decided("1", message(1, "a.example"), bench.now())]).await;
    assert_eq!(again, [RecordVerdict::Redelivered]);
    assert_eq!(bench.number("SELECT count(*) FROM duplicate").await, 0);
}

#[tokio::test]
async fn another_message_with_the_same_request_is_a_duplicate_once() {
    let bench = Bench::new().await;
    bench.record(vec![decided("1", message(1, "a.example"), bench.now())]).await;
    let second = bench.record(vec![decided("2", message(1, "a.example"), bench.now())]).await;
    assert_eq!(second, [RecordVerdict::Duplicate { resent: false }]);
    let again = bench.record(vec![decided("2", message(1, "a.example"), bench.now())]).await;
    assert_eq!(again, [RecordVerdict::Redelivered]);
    assert_eq!(bench.number("SELECT count(*) FROM duplicate").await, 1);
    assert_eq!(bench.number("SELECT count(*) FROM decision").await, 1);
}

#[tokio::test]
async fn one_batch_may_hold_the_same_request_and_the_same_message_twice() {
    let bench = Bench::new().await;
    let now = bench.now();
    let recorded = bench
        .record(vec![
            poison("9"),
            decided("1", message(1, "a.example"), now),
            decided("2", message(1, "a.example"), now),
            decided("1", message(1, "a.example"), now),
            decided("redis-1-0", message(2, "a.example"), now),
            decided("redis-1-0", message(3, "a.example"), now),
            poison("9"),
        ])
        .await;
    assert_eq!(
        recorded,
        [
            RecordVerdict::Poison,
            RecordVerdict::Decided,
            RecordVerdict::Duplicate { resent: false },
            RecordVerdict::Redelivered,
            RecordVerdict::Decided,
            RecordVerdict::Redelivered,
            RecordVerdict::Redelivered,
        ]
    );
    assert_eq!(bench.number("SELECT count(*) FROM decision").await, 2);
    assert_eq!(bench.number("SELECT count(*) FROM callback").await, 2);
}

#[tokio::test]
async fn a_message_is_never_both_decided_and_poison() {
    let bench = Bench::new().await;
    bench.record(vec![decided("1", message(1, "a.example"), bench.now()), poison("2")]).await;
    let swapped = bench
        .record(vec![poison("1"), decided("2", message(2, "a.example"), bench.now()), poison("2")])
        .await;
    assert_eq!(swapped, [RecordVerdict::Redelivered; 3]);
    assert_eq!(bench.number("SELECT count(*) FROM poison").await, 1);
    assert_eq!(bench.number("SELECT count(*) FROM decision").await, 1);
}
