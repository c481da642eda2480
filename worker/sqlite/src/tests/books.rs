//! Reconciliation and retention.

use super::*;
use crate::SqliteInspector;
use chargegate_storage::reconcile::{Reconciliation, SequenceRange};

async fn books(harness: &SqliteHarness) -> Reconciliation {
    harness.engine.inspector().reconcile().await.unwrap()
}

/// Creates a message in each state: delivered, dead, in flight, duplicate, poison, waiting, leased, and recorded but
/// not acknowledged.
async fn one_of_each(harness: &SqliteHarness) {
    let delivered = harness.decide(1, "a.example").await;
    harness.deliver(&delivered).await;
    let dead = harness.decide(2, "a.example").await;
    harness.give_up(&dead).await;
    harness.decide(3, "a.example").await;
    for body in ["a repeat", "garbage", "waits", "not acknowledged"] {
        harness.enqueue(body).await;
    }
    harness.lease(4).await;
    harness
        .record(vec![
            decided("4", message(1, "a.example"), harness.now()),
            poison("5"),
            decided("7", message(7, "a.example"), harness.now()),
        ])
        .await;
    let done = ["4", "5"].map(|key| MessageKey::from(key.to_owned()));
    harness.engine.ack(done.into()).await.unwrap();
}

#[tokio::test]
async fn an_empty_folder_balances() {
    let harness = SqliteHarness::new().await;
    let books = books(&harness).await;
    assert!(books.balanced(), "{books:?}");
    assert_eq!(books.enqueued, Some(0));
}

#[tokio::test]
async fn every_message_is_accounted_for() {
    let harness = SqliteHarness::new().await;
    one_of_each(&harness).await;
    let books = books(&harness).await;
    assert!(books.balanced(), "{books:?}");
    let left = (books.enqueued, books.decided, books.duplicates, books.poison, books.waiting);
    assert_eq!(left, (Some(7), 4, 1, 1, 1));
    assert_eq!((books.delivered, books.dead, books.in_flight), (1, 1, 2));
}

#[tokio::test]
async fn a_message_deleted_by_hand_is_reported_missing() {
    let harness = SqliteHarness::new().await;
    one_of_each(&harness).await;
    for body in ["a", "b", "c"] {
        harness.enqueue(body).await;
    }
    harness.execute("DELETE FROM queue WHERE seq IN (6, 9, 10)").await;
    let books = books(&harness).await;
    assert!(!books.balanced());
    assert_eq!(books.missing, [SequenceRange { first: 6, last: 6 }, SequenceRange { first: 9, last: 10 }]);
    assert_eq!(books.missing.iter().map(|range| range.count()).sum::<u64>(), 3);
}

#[tokio::test]
async fn the_first_and_all_messages_can_be_missing() {
    let harness = SqliteHarness::new().await;
    for body in ["a", "b", "c"] {
        harness.enqueue(body).await;
    }
    harness.execute("DELETE FROM queue WHERE seq = 1").await;
    assert_eq!(books(&harness).await.missing, [SequenceRange { first: 1, last: 1 }]);
    harness.execute("DELETE FROM queue").await;
    assert_eq!(books(&harness).await.missing, [SequenceRange { first: 1, last: 3 }]);
}

#[tokio::test]
async fn incomplete_decisions_are_listed() {
    let harness = SqliteHarness::new().await;
    one_of_each(&harness).await;
    harness.execute("DELETE FROM callback WHERE host = 'a.example' AND state = 'delivered'").await;
    let without_callback = books(&harness).await;
    assert!(!without_callback.balanced());
    assert_eq!(without_callback.decisions_without_callback, [request_id(1)]);
    harness.execute("DELETE FROM decision WHERE message_key = 2").await;
    let without_decision = books(&harness).await;
    assert_eq!(without_decision.callbacks_without_decision, [request_id(2)]);
    assert_eq!(without_decision.missing, [SequenceRange { first: 2, last: 2 }]);
}

#[tokio::test]
async fn an_inspector_reconciles_while_the_engine_runs_or_not() {
    let harness = SqliteHarness::new().await;
    one_of_each(&harness).await;
    let inside = books(&harness).await;
    let running = SqliteInspector::open(harness.data_dir()).await.unwrap();
    assert_eq!(running.reconcile().await.unwrap(), inside);
    harness.engine.close().await;
    let stopped = SqliteInspector::open(harness.data_dir()).await.unwrap();
    assert_eq!(stopped.reconcile().await.unwrap(), inside);
}

#[tokio::test]
async fn an_inspector_reconciles_after_a_crash() {
    let harness = SqliteHarness::new().await;
    one_of_each(&harness).await;
    // The files of a killed process: the log is not yet in the database.
    let crashed = tempfile::tempdir().unwrap();
    for file in ["chargegate.db", "chargegate.db-wal"] {
        std::fs::copy(harness.data_dir().join(file), crashed.path().join(file)).unwrap();
    }
    let view = SqliteInspector::open(crashed.path()).await.unwrap();
    assert_eq!(view.reconcile().await.unwrap(), books(&harness).await);
}

#[tokio::test]
async fn messages_balance_after_retention() {
    let harness = SqliteHarness::new().await;
    one_of_each(&harness).await;
    let before = books(&harness).await;
    harness.clock.advance(Duration::from_hours(1));
    assert!(!harness.engine.purge(Duration::ZERO).await.unwrap());
    let after = books(&harness).await;
    assert_eq!(after, before);
    assert!(after.balanced());
    // Only pending callbacks and unacknowledged messages are left.
    assert_eq!(harness.number("SELECT count(*) FROM decision").await, 2);
    assert_eq!(harness.number("SELECT count(*) FROM duplicate").await, 0);
    assert_eq!(harness.number("SELECT count(*) FROM poison").await, 0);
    assert_eq!(harness.number("SELECT count(*) FROM attempt").await, 0);
    harness.execute("DELETE FROM queue WHERE seq = 6").await;
    assert_eq!(books(&harness).await.missing, [SequenceRange { first: 6, last: 6 }]);
}

#[tokio::test]
async fn a_decision_is_kept_while_its_message_may_be_redelivered() {
    let harness = SqliteHarness::new().await;
    let message = message(1, "a.example");
    harness.enqueue(&message.encode()).await;
    let first =
        record_first(&harness.engine, vec![decided("1", message.clone(), harness.now())]).await.remove(0);
    harness.deliver(&first).await;
    harness.clock.advance(Duration::from_hours(1));
    harness.engine.purge(Duration::ZERO).await.unwrap();
    let again = harness.record(vec![decided("1", message, harness.now())]).await;
    assert_eq!(again, [RecordVerdict::Redelivered]);
}

#[tokio::test]
async fn a_request_repeated_a_thousand_times_is_deleted_in_bounded_steps() {
    let harness = SqliteHarness::new().await;
    let keys: Vec<_> = (1..=1201_u32).map(|key| key.to_string()).collect();
    for key in &keys {
        harness.enqueue(key).await;
    }
    let outcomes: Vec<_> =
        keys.iter().map(|key| decided(key, message(1, "a.example"), harness.now())).collect();
    harness.record(outcomes.clone()).await;
    harness.deliver(&first_attempt(outcomes[0].clone())).await;
    harness.engine.ack(keys.into_iter().map(MessageKey::from).collect()).await.unwrap();
    harness.clock.advance(Duration::from_hours(1));
    let before = books(&harness).await;
    for left in [700, 200] {
        assert!(harness.engine.purge(Duration::ZERO).await.unwrap());
        assert_eq!(harness.number("SELECT count(*) FROM duplicate").await, left);
        assert_eq!(harness.number("SELECT count(*) FROM decision").await, 1);
        assert_eq!(books(&harness).await, before);
    }
    assert!(!harness.engine.purge(Duration::ZERO).await.unwrap());
    assert_eq!(harness.number("SELECT count(*) FROM decision").await, 0);
    let after = books(&harness).await;
    assert!(after.balanced() && after == before, "{after:?}");
}

#[tokio::test]
async fn retention_works_in_bounded_steps_and_merges_its_ranges() {
    let harness = SqliteHarness::new().await;
    let mut reports = Vec::new();
    for n in 1..=1200_u32 {
        harness.enqueue(&n.to_string()).await;
        if n % 400 == 0 {
            let outcomes = harness
                .lease(400)
                .await
                .into_iter()
                .map(|leased| {
                    let request = String::from_utf8(leased.body).unwrap().parse().unwrap();
                    decided(leased.key.as_str(), message(request, "a.example"), harness.now())
                })
                .collect();
            for job in record_first(&harness.engine, outcomes).await {
                let next = AfterAttempt::Delivered;
                reports.push(report(&job, harness.now(), AttemptResult::Answered(200), next));
            }
        }
    }
    let all = (1..=1200).map(|n: u32| MessageKey::from(n.to_string())).collect();
    harness.engine.ack(all).await.unwrap();
    harness.engine.report(&reports).await.unwrap();
    harness.clock.advance(Duration::from_secs(1));
    let mut left = Vec::new();
    for _ in 0..3 {
        assert!(books(&harness).await.balanced());
        left.push(harness.engine.purge(Duration::ZERO).await.unwrap());
    }
    assert_eq!(left, [true, true, false]);
    assert_eq!(harness.number("SELECT count(*) FROM decision").await, 0);
    assert_eq!(harness.number("SELECT count(*) FROM purged WHERE first = 1 AND last = 1200").await, 1);
    assert!(books(&harness).await.balanced());
}
