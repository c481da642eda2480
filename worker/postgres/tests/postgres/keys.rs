//! Messages by their keys, for the reconciliation with another queue.

use chargegate_storage::fleet::FleetStore as _;
use chargegate_storage::reconcile::CountedStore as _;
use std::time::Duration;

use chargegate_core::MessageDecodeError;
use chargegate_storage::history::{HistoryStore as _, HistoryWatermark};
use chargegate_storage::store::{Outcome, PoisonMessage, RecordVerdict, Store as _};

use super::{PostgresHarness, open};
use chargegate_storage::conformance::stores::{START, decided, key, message, poison, request_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_reused_by_a_reset_queue_is_another_message() {
    let rig = PostgresHarness::new().await;
    let now = chargegate_core::UnixMillis(START);
    let ask = async |request| {
        let outcome = decided("s/1-0", message(request, "a.example"), now);
        rig.engine.record(&[outcome]).await.unwrap().remove(0)
    };
    assert_eq!((ask(1).await, ask(2).await), (RecordVerdict::Decided, RecordVerdict::Decided));
    assert_eq!((ask(1).await, ask(2).await), (RecordVerdict::Redelivered, RecordVerdict::Redelivered));
    let other = Outcome::Poison(PoisonMessage {
        key: key("s/1-0"),
        body: b"other".to_vec(),
        reason: MessageDecodeError::NotAnObject,
        found_at: now,
    });
    let recorded = rig.engine.record(&[poison("s/1-0"), other, poison("s/1-0")]).await.unwrap();
    assert_eq!(recorded, [RecordVerdict::Poison, RecordVerdict::Poison, RecordVerdict::Redelivered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_messages_without_an_outcome_are_counted() {
    let rig = PostgresHarness::new().await;
    let now = chargegate_core::UnixMillis(START);
    let recorded = [
        decided("a/1700000000000-1", message(1, "a.example"), now),
        decided("a/1700000000000-2", message(1, "a.example"), now),
        poison("a/1700000000000-3"),
    ];
    rig.engine.record(&recorded).await.unwrap();
    let view = rig.engine.inspector();
    let keys = |texts: &[&str]| texts.iter().map(|text| key(text)).collect::<Vec<_>>();
    let count = async |waiting: &[&str]| view.totals(&keys(waiting), &[]).await.unwrap().unrecorded;
    assert_eq!(count(&[]).await, 0);
    assert_eq!(count(&["a/1700000000000-1", "a/1700000000000-2", "a/1700000000000-3"]).await, 0);
    assert_eq!(count(&["a/1700000000000-1", "a/1700000000000-4", "b/1700000000000-1"]).await, 2);
    assert_eq!(count(&["17", "a/1700000000000-1"]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_newer_than_those_of_the_queue_are_counted() {
    let rig = PostgresHarness::new().await;
    let now = chargegate_core::UnixMillis(START);
    let recorded = [
        decided("a/1700000000000-9", message(1, "a.example"), now),
        decided("a/1700000000000-10", message(2, "a.example"), now),
        decided("a/1700000000000-11", message(2, "a.example"), now),
        poison("a/1700000000001-0"),
        decided("b/c/5-5", message(3, "a.example"), now),
        decided("7", message(4, "a.example"), now),
    ];
    rig.engine.record(&recorded).await.unwrap();
    let view = rig.engine.inspector();
    let keys = |texts: &[&str]| texts.iter().map(|text| key(text)).collect::<Vec<_>>();
    let count = async |newest: &[&str]| view.totals(&[], &keys(newest)).await.unwrap().newer;
    assert_eq!(count(&[]).await, 0);
    assert_eq!(count(&["a/1700000000001-0", "b/c/5-5"]).await, 0);
    // Numbers, not texts: 10 is more than 9.
    assert_eq!(count(&["a/1700000000000-9", "b/c/5-5"]).await, 3);
    assert_eq!(count(&["a/999-0", "b/c/5-4"]).await, 5);
    assert_eq!(count(&["a/18446744073709551615-18446744073709551615", "b/c/6-0"]).await, 0);
    assert_eq!(count(&["7"]).await, 0);
    rig.database.age(Duration::from_hours(2)).await;
    // Messages recorded more than an hour ago are not counted: only the duplicate's own time is younger.
    assert!(count(&["a/1-0"]).await <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_decisions_are_listed() {
    let rig = PostgresHarness::new().await;
    rig.record(1, 4).await.unwrap();
    rig.database
        .execute(
            "DELETE FROM callback WHERE request_id = (SELECT request_id FROM decision WHERE message_key = 's/1-0'); \
             DELETE FROM decision WHERE message_key = 's/2-0'",
        )
        .await;
    let books = rig.engine.inspector().totals(&[], &[]).await.unwrap();
    assert_eq!(books.decisions_without_callback, [request_id(1)]);
    assert_eq!(books.callbacks_without_decision, [request_id(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_concurrent_replacements_of_the_call_budget_one_succeeds() {
    let rig = PostgresHarness::new().await;
    let other = open(&rig.database.worker_url()).await;
    let before = rig.engine.load_fleet().await.unwrap();
    assert_eq!(before.text, "", "no worker has renewed a share");
    let (one, two) = tokio::join!(
        rig.engine.replace_fleet(before.version, "one"),
        other.replace_fleet(before.version, "two")
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one != two, "{one} {two}");
    let after = other.load_fleet().await.unwrap();
    assert_eq!((after.text.as_str(), after.now >= before.now), (if one { "one" } else { "two" }, true));
    assert!(!rig.engine.replace_fleet(before.version, "stale").await.unwrap());
    assert!(rig.engine.replace_fleet(after.version, "next").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_concurrent_watermark_updates_one_succeeds() {
    let rig = PostgresHarness::new().await;
    let other = open(&rig.database.worker_url()).await;
    let was = rig.engine.watermark().await.unwrap();
    assert_eq!(was, HistoryWatermark::default());
    let note = |beat| HistoryWatermark { version: 1, heartbeat: beat, enqueued: 5, forgotten: 2 };
    let (one, two) =
        tokio::join!(rig.engine.replace_watermark(was, note(3)), other.replace_watermark(was, note(4)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one != two, "{one} {two}");
    let noted = if one { note(3) } else { note(4) };
    assert_eq!(other.watermark().await.unwrap(), noted);
    assert_eq!(rig.engine.inspector().totals(&[], &[]).await.unwrap().watermark, noted);
}
