//! Read-only access for operators.

use std::time::Duration;

use crate::inspect::{DecisionFilter, DecisionPage, PageCursor};
use crate::store::{DecidedMessage, Outcome};
use chargegate_core::{Decision, DecisionReason, RequestId};

use super::*;

async fn decide_three(fixture: &StoreFixture) {
    for n in 1..=3 {
        let first = fixture.decide(n, "a.example").await;
        match n {
            1 => fixture.deliver(&first).await,
            2 => fixture.give_up(&first).await,
            _ => {}
        }
        fixture.advance(Duration::from_secs(1)).await;
    }
}

fn ids(page: &DecisionPage) -> Vec<RequestId> {
    page.decisions.iter().map(|line| line.request_id).collect()
}

pub(super) async fn decisions_are_listed_newest_first_in_pages(fixture: StoreFixture) {
    decide_three(&fixture).await;
    let first = fixture.view.decisions(&DecisionFilter::default(), 2, None).await.unwrap();
    assert_eq!(ids(&first), [request_id(3), request_id(2)]);
    let second = fixture.view.decisions(&DecisionFilter::default(), 2, first.next).await.unwrap();
    assert_eq!(ids(&second), [request_id(1)]);
    assert_eq!(second.next, None);

    // One batch has one time; pages neither skip nor repeat within it.
    let outcomes = (10..110).map(|n| decided(&format!("s/{n}-0"), message(n, "b.example"), fixture.now()));
    fixture.record(outcomes.collect()).await;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = fixture.view.decisions(&DecisionFilter::default(), 7, cursor).await.unwrap();
        all.extend(ids(&page));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 103);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 103);
}

pub(super) async fn decisions_are_filtered(fixture: StoreFixture) {
    decide_three(&fixture).await;
    let since = fixture.now();
    let late = chargegate_core::SessionMessage {
        station_id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        driver_token: "another-token-000000001".into(),
        ..message(4, "b.example")
    };
    fixture
        .record(vec![Outcome::Decided(DecidedMessage {
            key: key("s/4-0"),
            message: late,
            decision: Decision::unknown(DecisionReason::Expired),
            decided_at: since,
            late: true,
        })])
        .await;
    let all = DecisionFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let check = async |filter: DecisionFilter, expected: &[u32]| {
        let page = fixture.view.decisions(&filter, 10, None).await.unwrap();
        assert_eq!(ids(&page), expected.iter().map(|n| request_id(*n)).collect::<Vec<_>>());
    };
    check(all(), &[4, 3, 2, 1]).await;
    check(DecisionFilter { station_id: text("123e4567-E89B-12d3-a456-426614174000"), ..all() }, &[3, 2, 1])
        .await;
    check(DecisionFilter { station_id: text("123e4567-e89b-12d3-a456-426614174000"), ..all() }, &[]).await;
    check(DecisionFilter { status: text("unknown"), ..all() }, &[4]).await;
    check(DecisionFilter { reason: text("expired"), ..all() }, &[4]).await;
    check(DecisionFilter { reason: text("expired"), status: text("allowed"), ..all() }, &[]).await;
    check(DecisionFilter { driver_token: text("another-token-000000001"), ..all() }, &[4]).await;
    check(DecisionFilter { since: Some(since), ..all() }, &[4]).await;
    check(DecisionFilter { callback: text("delivered"), ..all() }, &[1]).await;
    check(DecisionFilter { callback: text("dead"), ..all() }, &[2]).await;
    check(DecisionFilter { callback: text("pending"), ..all() }, &[4, 3]).await;
}

pub(super) async fn one_decision_is_shown_with_its_attempts_and_no_secret(fixture: StoreFixture) {
    decide_three(&fixture).await;
    let shown = fixture.view.decision(&request_id(2)).await.unwrap().unwrap();
    let callback = &shown.decision.callback;
    assert_eq!((callback.state.as_str(), callback.host.as_str()), ("dead", "a.example"));
    assert_eq!((callback.give_up.as_deref(), callback.attempts), (Some("gone"), 1));
    assert!(callback.finished_at.is_some() && callback.due_at.is_none() && !callback.leased);
    assert_eq!(shown.message_key, "s/2-0");
    let attempts: Vec<_> = shown
        .attempts
        .iter()
        .map(|attempt| (attempt.number, &*attempt.result, attempt.http_status, attempt.took.as_millis()))
        .collect();
    assert_eq!(attempts, [(attempt(1), "refused", Some(410), 12)]);
    let all = format!("{shown:?}");
    assert!(all.contains("dri…01 (25 characters)"), "{all}");
    assert!(!all.contains("driver-allowed") && !all.contains("s3cret"), "{all}");

    let pending = fixture.view.decision(&request_id(3)).await.unwrap().unwrap().decision.callback;
    assert!(pending.leased && pending.due_at.is_some() && pending.finished_at.is_none());
    assert_eq!((pending.state.as_str(), pending.attempts), ("pending", 1));
    assert!(fixture.view.decision(&request_id(4)).await.unwrap().is_none());
}

pub(super) async fn a_foreign_cursor_is_refused(fixture: StoreFixture) {
    for text in ["", "x", "1.2.3", "12.00000000-0000-4000-8000-00000000000"] {
        let cursor = Some(PageCursor::from(text.to_owned()));
        fixture.view.decisions(&DecisionFilter::default(), 2, cursor).await.unwrap_err();
    }
}
