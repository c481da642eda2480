//! Actions of operators beside workers, and on rows that only this store has.

use std::time::Duration;

use chargegate_core::{MessageDecodeError, UnixMillis};
use chargegate_storage::conformance::stores::{
    START, TOKEN, decided, delivered, key, message, record_first, request_id,
};
use chargegate_storage::inspect::Inspect as _;
use chargegate_storage::operate::{
    ActionId, AuditEntry, BulkAction, CallbackChange, DecisionPlace, ForgetOutcome, ForgottenToken,
    Operate as _,
};
use chargegate_storage::reconcile::CountedStore as _;
use chargegate_storage::store::{Outcome, PoisonMessage, RecordVerdict, Store as _};
use chargegate_storage::{StoreError, SystemRandom};
use tokio::time::{Instant, sleep};

use super::{PATIENCE, PostgresHarness};
use crate::database::execute;

/// Sessions that wait for a lock of another.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";
/// Pending callbacks without a body.
const WITHOUT_TOKEN: &str =
    "SELECT count(*) FROM callback JOIN decision USING (recorded_at, request_id) WHERE driver_token = ''";

fn audit(action: &'static str) -> AuditEntry {
    let (id, operator) = (ActionId::random(&SystemRandom), "alice".parse().unwrap());
    AuditEntry { id, operator, action, selection: "a test".to_owned() }
}

fn token() -> ForgottenToken {
    ForgottenToken { driver_token: TOKEN.into(), station_id: None }
}

/// Records a decision whose callback is delivered.
async fn deliver(rig: &PostgresHarness) -> DecisionPlace {
    let now = UnixMillis(START);
    let jobs = record_first(&rig.engine, vec![decided("s/1-0", message(1, "a.example"), now)]).await;
    rig.engine.report(&[delivered(&jobs[0], now)]).await.unwrap();
    places(rig).await.remove(0)
}

async fn places(rig: &PostgresHarness) -> Vec<DecisionPlace> {
    rig.engine.inspector().decisions_with_token(&token(), 10, None).await.unwrap().decisions
}

async fn until_waiting(rig: &PostgresHarness, sessions: i64, patience: Duration) {
    let start = Instant::now();
    while rig.database.number(WAITING).await < sessions && start.elapsed() < patience {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Erases the token of a decision while another operation has begun to reopen its callback.
async fn erase_during<F>(rig: &PostgresHarness, reopen: F) -> ForgetOutcome
where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let place = deliver(rig).await;
    rig.database.age(Duration::from_mins(5)).await;
    let place = DecisionPlace { position: place.position - 300_000, ..place };
    // The operation has read the decision, and waits for its last attempt.
    let mut attempt = rig.database.by_hand().await;
    execute(&mut attempt, "BEGIN; UPDATE attempt SET result = result").await;
    let reopening = tokio::spawn(reopen);
    until_waiting(rig, 1, PATIENCE).await;
    let engine = rig.engine.clone();
    let erasing = tokio::spawn(async move { engine.forget(&token(), &[place], &[], &audit("forget")).await });
    until_waiting(rig, 2, Duration::from_millis(500)).await;
    execute(&mut attempt, "ROLLBACK").await;
    reopening.await.unwrap().unwrap();
    let outcome = erasing.await.unwrap().unwrap();
    assert_eq!(rig.database.number(WITHOUT_TOKEN).await, 0);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_waits_for_a_retry_of_the_callback() {
    let rig = PostgresHarness::new().await;
    let engine = rig.engine.clone();
    let outcome = erase_during(&rig, async move {
        let change = CallbackChange { action: BulkAction::Retry, state: None, ids: vec![request_id(1)] };
        engine
            .change_callbacks(&change, &audit("callbacks retry"))
            .await
            .map(|changed| assert_eq!(changed, 1))
    })
    .await;
    let expected = ForgetOutcome { decisions: 1, callbacks_discarded: 1, ..ForgetOutcome::default() };
    assert_eq!(outcome, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_waits_for_a_repeat_of_the_request() {
    let rig = PostgresHarness::new().await;
    let engine = rig.engine.clone();
    let outcome = erase_during(&rig, async move {
        let repeat = decided("s/2-0", message(1, "a.example"), UnixMillis(START));
        let verdicts = engine.record(&[repeat]).await?;
        assert_eq!(verdicts, [RecordVerdict::Duplicate { resent: true }]);
        Ok(())
    })
    .await;
    let expected = ForgetOutcome { decisions: 1, callbacks_discarded: 1, ..ForgetOutcome::default() };
    assert_eq!(outcome, expected);
}

#[tokio::test]
async fn a_token_is_erased_from_expired_decisions() {
    let rig = PostgresHarness::new().await;
    let place = deliver(&rig).await;
    rig.database
        .execute(
            "DELETE FROM request; UPDATE time_partition SET expired_until = ends_at; \
             UPDATE ledger SET decided = 1, delivered = 1",
        )
        .await;
    assert_eq!(places(&rig).await, [place]);
    // The same id is decided again, with another token.
    let other = chargegate_core::SessionMessage { driver_token: "another".into(), ..message(1, "a.example") };
    sleep(Duration::from_millis(5)).await;
    rig.database.execute("UPDATE time_partition SET expired_until = clock() - 1").await;
    let new = decided("s/3-0", other, UnixMillis(START));
    assert_eq!(rig.engine.record(&[new]).await.unwrap(), [RecordVerdict::Decided]);
    let outcome = rig.engine.forget(&token(), &[place], &[], &audit("forget")).await.unwrap();
    assert_eq!(outcome, ForgetOutcome { decisions: 1, ..ForgetOutcome::default() });
    assert_eq!(places(&rig).await, []);
    assert_eq!(rig.database.number("SELECT count(*) FROM callback").await, 1, "another token is pending");
}

#[tokio::test]
async fn a_discarded_poison_message_that_is_delivered_again_is_counted_once() {
    let rig = PostgresHarness::new().await;
    let poison = || {
        [Outcome::Poison(PoisonMessage {
            key: key("s/1-0"),
            body: b"x".to_vec(),
            reason: MessageDecodeError::NotAnObject,
            found_at: UnixMillis(START),
        })]
    };
    assert_eq!(rig.engine.record(&poison()).await.unwrap(), [RecordVerdict::Poison]);
    let view = rig.engine.inspector();
    let id = view.poison(10, None).await.unwrap().messages.remove(0).id;
    assert_eq!(rig.engine.discard_poison(&[id], &audit("poison discard")).await.unwrap(), 1);
    assert_eq!(rig.engine.record(&poison()).await.unwrap(), [RecordVerdict::Redelivered]);
    assert_eq!(view.totals(&[], &[]).await.unwrap().poison, 1);
    assert!(view.poison(10, None).await.unwrap().messages.is_empty());
    assert!(view.poison_message("\0").await.unwrap().is_none());
}
