//! Reconciliation and retention.

use super::*;
use crate::SqliteInspector;
use chargegate_storage::reconcile::{Reconciliation, SequenceRange};

async fn books(bench: &Bench) -> Reconciliation {
    bench.engine.inspector().reconcile().await.unwrap()
}

/// Delivered, dead, in flight, duplicate, poison, waiting, leased and recorded but not acknowledged.
async fn one_of_each(bench: &Bench) {
    let delivered = bench.decide(1, "a.example").await;
    bench.deliver(&delivered).await;
    let dead = bench.decide(2, "a.example").await;
    bench.give_up(&dead).await;
    bench.decide(3, "a.example").await;
    for body in ["a repeat", "garbage", "waits", "not acknowledged"] {
        bench.enqueue(body).await;
    }
    bench.lease(4).await;
    bench
        .record(vec![
            decided("4", message(1, "a.example"), bench.now()),
            poison("5"),
            decided("7", message(7, "a.example"), bench.now()),
        ])
        .await;
    let done = ["4", "5"].map(|key| MessageKey::from(key.to_owned()));
    bench.engine.ack(done.into()).await.unwrap();
}

#[tokio::test]
async fn an_empty_folder_balances() {
    let bench = Bench::new().await;
    let books = books(&bench).await;
    assert!(books.balanced(), "{books:?}");
    assert_eq!(books.enqueued, Some(0));
}

#[tokio::test]
async fn every_message_is_accounted_for() {
    let bench = Bench::new().await;
    one_of_each(&bench).await;
    let books = books(&bench).await;
    assert!(books.balanced(), "{books:?}");
    let left = (books.enqueued, books.decided, books.duplicates, books.poison, books.waiting);
    assert_eq!(left, (Some(7), 4, 1, 1, 1));
    assert_eq!((books.delivered, books.dead, books.in_flight), (1, 1, 2));
}

#[tokio::test]
async fn a_message_deleted_by_hand_is_named() {
    let bench = Bench::new().await;
    one_of_each(&bench).await;
    for body in ["a", "b", "c"] {
        bench.enqueue(body).await;
    }
    bench.execute("DELETE FROM queue WHERE seq IN (6, 9, 10)").await;
    let books = books(&bench).await;
    assert!(!books.balanced());
    assert_eq!(books.missing, [SequenceRange { first: 6, last: 6 }, SequenceRange { first: 9, last: 10 }]);
    assert_eq!(books.missing.iter().map(|range| range.count()).sum::<u64>(), 3);
}

#[tokio::test]
async fn the_first_and_all_messages_can_be_missing() {
    let bench = Bench::new().await;
    for body in ["a", "b", "c"] {
        bench.enqueue(body).await;
    }
    bench.execute("DELETE FROM queue WHERE seq = 1").await;
    assert_eq!(books(&bench).await.missing, [SequenceRange { first: 1, last: 1 }]);
    bench.execute("DELETE FROM queue").await;
    assert_eq!(books(&bench).await.missing, [SequenceRange { first: 1, last: 3 }]);
}

#[tokio::test]
async fn halves_of_a_decision_are_named() {
    let bench = Bench::new().await;
    one_of_each(&bench).await;
    bench.execute("DELETE FROM callback WHERE host = 'a.example' AND state = 'delivered'").await;
    let without_callback = books(&bench).await;
    assert!(!without_callback.balanced());
    assert_eq!(without_callback.decisions_without_callback, [request_id(1)]);
    bench.execute("DELETE FROM decision WHERE message_key = 2").await;
    let without_decision = books(&bench).await;
    assert_eq!(without_decision.callbacks_without_decision, [request_id(2)]);
    assert_eq!(without_decision.missing, [SequenceRange { first: 2, last: 2 }]);
}

#[tokio::test]
async fn the_books_can_be_read_from_outside_running_or_not() {
    let bench = Bench::new().await;
    one_of_each(&bench).await;
    let inside = books(&bench).await;
    let running = SqliteInspector::open(bench.data_dir()).await.unwrap();
    assert_eq!(running.reconcile().await.unwrap(), inside);
    bench.engine.close().await;
    let stopped = SqliteInspector::open(bench.data_dir()).await.unwrap();
    assert_eq!(stopped.reconcile().await.unwrap(), inside);
}

#[tokio::test]
async fn the_books_can_be_read_after_a_crash() {
    let bench = Bench::new().await;
    one_of_each(&bench).await;
    // What a killed process leaves: the log not yet moved into the database.
    let crashed = tempfile::tempdir().unwrap();
    for file in ["chargegate.db", "chargegate.db-wal"] {
        std::fs::copy(bench.data_dir().join(file), crashed.path().join(file)).unwrap();
    }
    let view = SqliteInspector::open(crashed.path()).await.unwrap();
    assert_eq!(view.reconcile().await.unwrap(), books(&bench).await);
}

#[tokio::test]
async fn the_books_balance_after_retention() {
    let bench = Bench::new().await;
    one_of_each(&bench).await;
    let before = books(&bench).await;
    bench.clock.advance(Duration::from_hours(1));
    assert!(!bench.engine.purge(Duration::ZERO).await.unwrap());
    let after = books(&bench).await;
    assert_eq!(after, before);
    assert!(after.balanced());
    // Only pending callbacks and unacknowledged messages are left.
    assert_eq!(bench.number("SELECT count(*) FROM decision").await, 2);
    assert_eq!(bench.number("SELECT count(*) FROM duplicate").await, 0);
    assert_eq!(bench.number("SELECT count(*) FROM poison").await, 0);
    assert_eq!(bench.number("SELECT count(*) FROM attempt").await, 0);
    bench.execute("DELETE FROM queue WHERE seq = 6").await;
    assert_eq!(books(&bench).await.missing, [SequenceRange { first: 6, last: 6 }]);
}

#[tokio::test]
async fn a_decision_whose_message_may_come_again_stays() {
    let bench = Bench::new().await;
    let message = message(1, "a.example");
    bench.enqueue(&message.encode()).await;
    let first = record_first(&bench.engine, vec![decided("1", message.clone(), bench.now())]).await.remove(0);
    bench.deliver(&first).await;
    bench.clock.advance(Duration::from_hours(1));
    bench.engine.purge(Duration::ZERO).await.unwrap();
    let again = bench.record(vec![decided("1", message, bench.now())]).await;
    assert_eq!(again, [RecordVerdict::Redelivered]);
}

#[tokio::test]
async fn a_request_repeated_a_thousand_times_is_deleted_in_bounded_steps() {
    let bench = Bench::new().await;
    let keys: Vec<_> = (1..=1201_u32).map(|key| key.to_string()).collect();
    for key in &keys {
        bench.enqueue(key).await;
    }
    let outcomes: Vec<_> =
        keys.iter().map(|key| decided(key, message(1, "a.example"), bench.now())).collect();
    bench.record(outcomes.clone()).await;
    bench.deliver(&first_attempt(outcomes[0].clone())).await;
    bench.engine.ack(keys.into_iter().map(MessageKey::from).collect()).await.unwrap();
    bench.clock.advance(Duration::from_hours(1));
    let before = books(&bench).await;
    for left in [700, 200] {
        assert!(bench.engine.purge(Duration::ZERO).await.unwrap());
        assert_eq!(bench.number("SELECT count(*) FROM duplicate").await, left);
        assert_eq!(bench.number("SELECT count(*) FROM decision").await, 1);
        assert_eq!(books(&bench).await, before);
    }
    assert!(!bench.engine.purge(Duration::ZERO).await.unwrap());
    assert_eq!(bench.number("SELECT count(*) FROM decision").await, 0);
    let after = books(&bench).await;
    assert!(after.balanced() && after == before, "{after:?}");
}

#[tokio::test]
async fn retention_works_in_bounded_steps_and_joins_its_ranges() {
    let bench = Bench::new().await;
    let mut reports = Vec::new();
    for n in 1..=1200_u32 {
        bench.enqueue(&n.to_string()).await;
        if n % 400 == 0 {
            let outcomes = bench
                .lease(400)
                .await
                .into_iter()
                .map(|leased| {
                    let request = String::from_utf8(leased.body).unwrap().parse().unwrap();
                    decided(leased.key.as_str(), message(request, "a.example"), bench.now())
                })
                .collect();
            for job in record_first(&bench.engine, outcomes).await {
                let next = AfterAttempt::Delivered;
                reports.push(report(&job, bench.now(), AttemptResult::Answered(200), next));
            }
        }
    }
    let all = (1..=1200).map(|n: u32| MessageKey::from(n.to_string())).collect();
    bench.engine.ack(all).await.unwrap();
    bench.engine.report(&reports).await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    let mut left = Vec::new();
    for _ in 0..3 {
        assert!(books(&bench).await.balanced());
        left.push(bench.engine.purge(Duration::ZERO).await.unwrap());
    }
    assert_eq!(left, [true, true, false]);
    assert_eq!(bench.number("SELECT count(*) FROM decision").await, 0);
    assert_eq!(bench.number("SELECT count(*) FROM purged WHERE first = 1 AND last = 1200").await, 1);
    assert!(books(&bench).await.balanced());
}
