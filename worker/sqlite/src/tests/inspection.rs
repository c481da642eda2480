//! What operators see.

use super::*;
use crate::{SqliteInspector, SqliteOpenError};
use chargegate_storage::inspect::{DecisionFilter, DecisionPage, Inspect};

async fn three(bench: &Bench) {
    for n in 1..=3 {
        let job = bench.decide(n, "a.example").await;
        if n == 2 {
            bench.give_up(&job).await;
        }
        bench.clock.advance(Duration::from_secs(1));
    }
}

#[track_caller]
fn ids(page: &DecisionPage) -> Vec<RequestId> {
    page.decisions.iter().map(|line| line.request_id).collect()
}

#[tokio::test]
async fn decisions_are_listed_newest_first_in_pages() {
    let bench = Bench::new().await;
    three(&bench).await;
    let view = bench.engine.inspector();
    let first = view.decisions(&DecisionFilter::default(), 2, None).await.unwrap();
    assert_eq!(ids(&first), [request_id(3), request_id(2)]);
    let second = view.decisions(&DecisionFilter::default(), 2, first.next).await.unwrap();
    assert_eq!(ids(&second), [request_id(1)]);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn decisions_are_filtered() {
    let bench = Bench::new().await;
    three(&bench).await;
    let view = bench.engine.inspector();
    let check = async |filter: DecisionFilter, expected: usize| {
        assert_eq!(view.decisions(&filter, 10, None).await.unwrap().decisions.len(), expected);
    };
    let text = |text: &str| Some(text.to_owned());
    let none = DecisionFilter::default;
    check(none(), 3).await;
    check(DecisionFilter { status: text("allowed"), ..none() }, 3).await;
    check(DecisionFilter { status: text("unknown"), ..none() }, 0).await;
    check(DecisionFilter { callback: text("pending"), ..none() }, 2).await;
    check(DecisionFilter { callback: text("dead"), ..none() }, 1).await;
    check(DecisionFilter { reason: text("acl"), ..none() }, 3).await;
    check(DecisionFilter { reason: text("expired"), ..none() }, 0).await;
    check(DecisionFilter { station_id: text("123e4567-e89b-12d3-a456-426614174000"), ..none() }, 3).await;
    check(DecisionFilter { station_id: text("123e4567-e89b-12d3-a456-426614174001"), ..none() }, 0).await;
    check(DecisionFilter { driver_token: text("driver-allowed-0000000001"), ..none() }, 3).await;
    check(DecisionFilter { driver_token: text("driver-allowed-000000000"), ..none() }, 0).await;
    check(DecisionFilter { since: Some(UnixMillis(START + 1000)), ..none() }, 2).await;
}

#[tokio::test]
async fn one_decision_is_shown_with_its_attempts_and_no_secret() {
    let bench = Bench::new().await;
    three(&bench).await;
    let view = bench.engine.inspector();
    let shown = view.decision(&request_id(2)).await.unwrap().unwrap();
    assert_eq!(shown.decision.callback.state, "dead");
    assert_eq!(shown.decision.callback.give_up.as_deref(), Some("gone"));
    assert_eq!(shown.decision.callback.host, "a.example");
    assert_eq!(shown.message_key, "2");
    let attempts: Vec<_> = shown
        .attempts
        .iter()
        .map(|attempt| (attempt.number, &*attempt.result, attempt.http_status))
        .collect();
    assert_eq!(attempts, [(attempt(1), "refused", Some(410))]);
    let all = format!("{shown:?}");
    assert!(all.contains("dri…01 (25 characters)"), "{all}");
    assert!(!all.contains("driver-allowed") && !all.contains("s3cret"), "{all}");
    assert!(view.decision(&request_id(4)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_folder_without_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    let error = SqliteInspector::open(&missing).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::Missing { .. }));
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_view_cannot_write() {
    let bench = Bench::new().await;
    three(&bench).await;
    let readers = crate::open::open_readers(bench.data_dir()).await.unwrap();
    sqlx::query("DELETE FROM decision").execute(&readers).await.unwrap_err();
}
