//! Actions of operators on callbacks, and their audit trail.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::GiveUpReason;

use super::*;
use crate::effects::SystemRandom;
use crate::error::StoreError;
use crate::inspect::PageCursor;
use crate::operate::{
    ActionId, AuditEntry, BulkAction, CallbackBatch, CallbackChange, CallbackFilter, CallbackState,
    MAX_BATCH, OperatorIdentity, Operators, find_callbacks,
};
use crate::store::{AfterAttempt, AttemptResult, ReleasedCallback};

/// Returns an entry for the audit trail.
pub(super) fn audit(action: &'static str) -> AuditEntry {
    AuditEntry {
        id: ActionId::random(&SystemRandom),
        operator: "alice".parse().unwrap(),
        action,
        selection: "a test".to_owned(),
    }
}

/// Returns an operator.
pub(super) fn alice() -> OperatorIdentity {
    OperatorIdentity { name: "alice".parse().unwrap(), random: Arc::new(SystemRandom) }
}

/// Returns the store as operators use it.
pub(super) fn operators(fixture: &StoreFixture) -> Operators {
    Operators { view: Arc::clone(&fixture.view), operate: Arc::clone(&fixture.operate) }
}

async fn change(fixture: &StoreFixture, action: BulkAction, numbers: &[u32]) -> u64 {
    let ids = numbers.iter().copied().map(request_id).collect();
    let change = CallbackChange { action, state: None, ids };
    fixture.operate.change_callbacks(&change, &audit(action.as_str())).await.unwrap()
}

async fn state(fixture: &StoreFixture, request: u32) -> (String, Option<String>, usize) {
    let shown = fixture.view.decision(&request_id(request)).await.unwrap().unwrap();
    (shown.decision.callback.state, shown.decision.callback.give_up, shown.attempts.len())
}

pub(super) async fn a_retry_begins_a_new_round(fixture: StoreFixture) {
    let delivered = fixture.decide(1, "a.example").await;
    fixture.deliver(&delivered).await;
    let dead = fixture.decide(2, "a.example").await;
    fixture.give_up(&dead).await;
    let waiting = fixture.decide(3, "a.example").await;
    let later = AfterAttempt::Retry { after: Duration::from_hours(2) };
    fixture.report(&waiting, AttemptResult::TimedOut, later).await;
    let in_flight = fixture.decide(4, "a.example").await;
    fixture.advance(Duration::from_secs(30)).await;

    assert_eq!(change(&fixture, BulkAction::Retry, &[1, 2, 3, 4, 5]).await, 3);
    assert_eq!(change(&fixture, BulkAction::Retry, &[1, 2, 3, 4, 5]).await, 0, "they are due already");
    let mut claimed = fixture.claim(limits(10, 10)).await;
    claimed.sort_unstable_by_key(|job| job.request_id);
    assert_eq!(claimed.len(), 3);
    for (job, before) in claimed.iter().zip([&delivered, &dead, &waiting]) {
        assert_eq!((job.request_id, job.decision), (before.request_id, before.decision));
        assert_eq!((job.attempt, job.round_attempt), (attempt(2), attempt(1)));
        assert!(job.round_age < Duration::from_secs(10), "{:?}", job.round_age);
        fixture.deliver(job).await;
    }
    fixture.deliver(&in_flight).await;
    assert_eq!(state(&fixture, 2).await, ("delivered".to_owned(), None, 2));
    let totals = fixture.totals().await;
    assert_eq!((totals.decided, totals.delivered, totals.in_flight, totals.torn), (4, 4, 0, 0));
}

pub(super) async fn discarded_callbacks_stay_counted_and_are_no_backlog(fixture: StoreFixture) {
    let dead = fixture.decide(1, "a.example").await;
    fixture.give_up(&dead).await;
    let waiting = fixture.decide(2, "a.example").await;
    let later = AfterAttempt::Retry { after: Duration::from_hours(2) };
    fixture.report(&waiting, AttemptResult::TimedOut, later).await;
    let never_attempted = fixture.decide(3, "a.example").await;
    fixture.store.release(&[ReleasedCallback::now(&never_attempted)]).await.unwrap();
    let delivered = fixture.decide(4, "a.example").await;
    fixture.deliver(&delivered).await;
    let in_flight = fixture.decide(5, "a.example").await;

    assert_eq!(change(&fixture, BulkAction::Discard, &[1, 2, 3, 4, 5]).await, 3);
    assert_eq!(change(&fixture, BulkAction::Discard, &[1, 2, 3, 4, 5]).await, 0);
    let discarded = Some("discarded".to_owned());
    assert_eq!(state(&fixture, 1).await, ("dead".to_owned(), discarded.clone(), 1));
    assert_eq!(state(&fixture, 2).await, ("dead".to_owned(), discarded.clone(), 2));
    assert_eq!(state(&fixture, 3).await, ("dead".to_owned(), discarded, 1));
    assert_eq!(fixture.backlog().await, (1, 0));
    fixture.deliver(&in_flight).await;
    let totals = fixture.totals().await;
    assert_eq!((totals.decided, totals.delivered, totals.dead, totals.torn), (5, 2, 3, 0));
    assert!(fixture.claim(limits(10, 10)).await.is_empty());

    // A discarded callback can be retried nevertheless.
    assert_eq!(change(&fixture, BulkAction::Retry, &[1, 3]).await, 2);
    let claimed = fixture.claim(limits(10, 10)).await;
    assert!(claimed.iter().all(|job| job.round_attempt == attempt(1) && job.attempt == attempt(2)));
    assert_eq!(claimed.len(), 2);
}

pub(super) async fn callbacks_are_selected_by_state_and_filter(fixture: StoreFixture) {
    for (request, host) in [(1, "a.example"), (2, "b.example"), (3, "a.example")] {
        let job = fixture.decide(request, host).await;
        fixture.give_up(&job).await;
    }
    fixture.advance(Duration::from_secs(5)).await;
    let since = fixture.now();
    let blocked = fixture.decide(4, "a.example").await;
    let next = AfterAttempt::Dead { reason: GiveUpReason::Blocked };
    fixture.report(&blocked, AttemptResult::Blocked, next).await;
    let delivered = fixture.decide(5, "a.example").await;
    fixture.deliver(&delivered).await;
    fixture.decide(6, "a.example").await;
    change(&fixture, BulkAction::Discard, &[3]).await;

    let check = async |filter: CallbackFilter, expected: &[u32]| {
        let page = find_callbacks(&*fixture.view, &filter, 10, None).await.unwrap();
        let mut found: Vec<_> = page.callbacks.iter().map(|found| found.decision.request_id).collect();
        found.sort_unstable();
        assert_eq!(found, expected.iter().copied().map(request_id).collect::<Vec<_>>(), "{filter:?}");
        assert_eq!(page.next, None);
        let text = format!("{page:?}");
        assert!(!text.contains(TOKEN) && !text.contains("s3cret"), "{text}");
    };
    let dead = CallbackFilter::default;
    let text = |text: &str| Some(text.to_owned());
    check(dead(), &[1, 2, 4]).await;
    check(CallbackFilter { host: Some("a.example".parse().unwrap()), ..dead() }, &[1, 4]).await;
    check(CallbackFilter { give_up: text("blocked_address"), ..dead() }, &[4]).await;
    check(CallbackFilter { status: text("allowed"), reason: text("acl"), ..dead() }, &[1, 2, 4]).await;
    check(CallbackFilter { status: text("unknown"), ..dead() }, &[]).await;
    check(CallbackFilter { since: Some(since), ..dead() }, &[4]).await;
    check(CallbackFilter { until: Some(since.minus(Duration::from_secs(1))), ..dead() }, &[1, 2]).await;
    check(CallbackFilter { state: CallbackState::Discarded, ..dead() }, &[3]).await;
    check(CallbackFilter { state: CallbackState::Delivered, ..dead() }, &[5]).await;
    check(CallbackFilter { state: CallbackState::Pending, ..dead() }, &[6]).await;

    let one = find_callbacks(&*fixture.view, &dead(), 1, None).await.unwrap();
    assert_eq!(one.callbacks.len(), 1);
    let rest = find_callbacks(&*fixture.view, &dead(), 10, one.next).await.unwrap();
    assert_eq!((rest.callbacks.len(), rest.next), (2, None));
    let foreign = PageCursor::from("x".to_owned());
    let error = find_callbacks(&*fixture.view, &dead(), 1, Some(foreign)).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignCursor), "{error:?}");
}

pub(super) async fn an_interrupted_bulk_action_continues_and_is_audited_once(fixture: StoreFixture) {
    let count = MAX_BATCH + 100;
    let numbers = 0..u32::try_from(count).unwrap();
    let outcomes =
        numbers.map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), fixture.now())).collect();
    let jobs = record_first(fixture.store.as_ref(), outcomes).await;
    let dead = AfterAttempt::Dead { reason: GiveUpReason::Attempts };
    let reports: Vec<_> =
        jobs.iter().map(|job| report(job, fixture.now(), AttemptResult::TimedOut, dead)).collect();
    fixture.store.report(&reports).await.unwrap();

    let operators = operators(&fixture);
    let action = ActionId::random(&SystemRandom);
    let filter = CallbackFilter { host: Some("a.example".parse().unwrap()), ..CallbackFilter::default() };
    let batch = async |cursor| {
        let batch = CallbackBatch {
            filter: Some(filter.clone()),
            cursor,
            action_id: Some(action.clone()),
            ..CallbackBatch::default()
        };
        operators.change_callbacks(BulkAction::Retry, batch, &alice()).await.unwrap()
    };
    let counting = CallbackBatch { filter: Some(filter.clone()), dry_run: true, ..CallbackBatch::default() };
    let counted = operators.change_callbacks(BulkAction::Retry, counting, &alice()).await.unwrap();
    assert_eq!((counted.matched, counted.changed), (500, 0));
    let first = batch(None).await;
    assert_eq!((first.matched, first.changed), (500, 500));
    // The answer to the first batch was lost: repeating it changes only what is left.
    let cursor = first.next.unwrap();
    let second = batch(Some(cursor.clone())).await;
    assert_eq!((second.matched, second.changed, second.next), (100, 100, None));
    let again = batch(Some(cursor)).await;
    assert_eq!((again.matched, again.changed), (0, 0));
    assert_eq!(fixture.claim(limits(count, count)).await.len(), count);

    let trail = fixture.view.audit(10, None).await.unwrap();
    assert_eq!((trail.actions.len(), trail.next), (1, None));
    let record = &trail.actions[0];
    assert_eq!((record.operator.as_str(), record.action.as_str()), ("alice", "callbacks retry"));
    assert_eq!((record.action_id.as_str(), record.changed), (action.as_str(), 600));
    assert_eq!(record.selection, r#"{"state":"dead","host":"a.example"}"#);
}

pub(super) async fn the_audit_trail_is_listed_newest_first_in_pages(fixture: StoreFixture) {
    for request in 1..=3 {
        let job = fixture.decide(request, "a.example").await;
        fixture.give_up(&job).await;
    }
    change(&fixture, BulkAction::Discard, &[1]).await;
    change(&fixture, BulkAction::Retry, &[2, 3]).await;
    fixture.operate.pause_host("a.example", &audit("hosts pause")).await.unwrap();
    let first = fixture.view.audit(2, None).await.unwrap();
    let names = |page: &crate::operate::AuditPage| {
        page.actions.iter().map(|action| (action.action.clone(), action.changed)).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), [("hosts pause".to_owned(), 1), ("callbacks retry".to_owned(), 2)]);
    let second = fixture.view.audit(2, first.next.as_ref()).await.unwrap();
    assert_eq!(names(&second), [("callbacks discard".to_owned(), 1)]);
    assert_eq!(second.next, None);
}

pub(super) async fn the_id_of_another_action_is_refused(fixture: StoreFixture) {
    let job = fixture.decide(1, "a.example").await;
    fixture.give_up(&job).await;
    let first = audit("callbacks retry");
    let change = CallbackChange { action: BulkAction::Retry, state: None, ids: vec![request_id(2)] };
    assert_eq!(fixture.operate.change_callbacks(&change, &first).await.unwrap(), 0);
    let change = CallbackChange { ids: vec![request_id(1)], ..change };
    let same = first.clone();
    for other in [
        AuditEntry { operator: "bob".parse().unwrap(), ..same.clone() },
        AuditEntry { action: "callbacks discard", ..same.clone() },
        AuditEntry { selection: "others".to_owned(), ..same.clone() },
    ] {
        let error = fixture.operate.change_callbacks(&change, &other).await.unwrap_err();
        assert!(matches!(error, StoreError::OtherAction), "{error:?}");
    }
    assert_eq!(state(&fixture, 1).await.0, "dead", "nothing was changed");
    assert_eq!(fixture.operate.change_callbacks(&change, &same).await.unwrap(), 1);
    let trail = fixture.view.audit(10, None).await.unwrap();
    assert_eq!((trail.actions.len(), trail.actions[0].changed), (1, 1));
}

pub(super) async fn pending_callbacks_are_retried_once(fixture: StoreFixture) {
    let count = MAX_BATCH + 100;
    let outcomes = (0..u32::try_from(count).unwrap())
        .map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), fixture.now()))
        .collect();
    let jobs = record_first(fixture.store.as_ref(), outcomes).await;
    let later = AfterAttempt::Retry { after: Duration::from_hours(1) };
    let reports: Vec<_> =
        jobs.iter().map(|job| report(job, fixture.now(), AttemptResult::TimedOut, later)).collect();
    fixture.store.report(&reports).await.unwrap();
    let filter = CallbackFilter { state: CallbackState::Pending, ..CallbackFilter::default() };
    let action = ActionId::random(&SystemRandom);
    for expected in [u64::try_from(count).unwrap(), 0] {
        let (mut matched, mut changed, mut cursor) = (0, 0, None);
        loop {
            let batch = CallbackBatch {
                filter: Some(filter.clone()),
                cursor,
                action_id: Some(action.clone()),
                ..CallbackBatch::default()
            };
            fixture.advance(Duration::from_secs(1)).await;
            let progress =
                operators(&fixture).change_callbacks(BulkAction::Retry, batch, &alice()).await.unwrap();
            matched += progress.matched;
            changed += progress.changed;
            cursor = progress.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((matched, changed), (expected, expected));
    }
    let none = CallbackBatch { filter: Some(filter.clone()), limit: Some(0), ..CallbackBatch::default() };
    assert!(operators(&fixture).change_callbacks(BulkAction::Retry, none, &alice()).await.is_err());
    let page = find_callbacks(&*fixture.view, &filter, 0, None).await.unwrap();
    assert!(page.callbacks.len() == 1 && page.next.is_some());
}
