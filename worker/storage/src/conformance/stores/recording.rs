//! One decision per request, also with repeats.

use std::time::Duration;

use crate::inspect::DecisionFilter;
use crate::store::{AfterAttempt, AttemptResult, DecidedMessage, Outcome, RecordVerdict};
use chargegate_core::{Decision, DecisionReason, DecisionStatus};

use super::*;

pub(super) async fn the_first_decision_of_a_request_wins(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    assert_eq!(first.decision.status, DecisionStatus::Allowed);
    let other = Outcome::Decided(DecidedMessage {
        key: key("s/99-0"),
        message: message(1, "a.example"),
        decision: Decision::unknown(DecisionReason::Expired),
        decided_at: fixture.now(),
        late: true,
    });
    let second = fixture.other.record(&[other]).await.unwrap();
    assert_eq!(second, [RecordVerdict::Duplicate { resent: false }]);
    let shown = fixture.view.decision(&request_id(1)).await.unwrap().unwrap();
    assert_eq!(shown.decision.status, "allowed");
    assert_eq!((shown.message_key.as_str(), shown.duplicates), ("s/1-0", 1));
    assert!(!shown.decision.late);
}

pub(super) async fn the_same_message_is_recorded_once(fixture: StoreFixture) {
    fixture.decide(1, "a.example").await;
    for store in [&fixture.store, &fixture.other] {
        let again = store.record(&[decided("s/1-0", message(1, "a.example"), fixture.now())]).await.unwrap();
        assert_eq!(again, [RecordVerdict::Redelivered]);
    }
    let totals = fixture.totals().await;
    assert_eq!((totals.decided, totals.duplicates, totals.in_flight), (1, 0, 1));
}

pub(super) async fn another_message_is_a_duplicate_once(fixture: StoreFixture) {
    fixture.decide(1, "a.example").await;
    let outcome = || vec![decided("s/2-0", message(1, "a.example"), fixture.now())];
    let duplicate = fixture.record(outcome()).await;
    assert_eq!(duplicate, [RecordVerdict::Duplicate { resent: false }]);
    let again = fixture.other.record(&outcome()).await.unwrap();
    assert_eq!(again, [RecordVerdict::Redelivered]);
    assert_eq!(fixture.totals().await.duplicates, 1);
}

pub(super) async fn one_batch_may_contain_the_same_request_and_message_twice(fixture: StoreFixture) {
    let now = fixture.now();
    let recorded = fixture
        .record(vec![
            poison("s/9-0"),
            decided("s/1-0", message(1, "a.example"), now),
            decided("s/2-0", message(1, "a.example"), now),
            decided("s/1-0", message(1, "a.example"), now),
            decided("s/2-0", message(1, "a.example"), now),
            decided("s/3-0", message(2, "a.example"), now),
            poison("s/9-0"),
        ])
        .await;
    assert_eq!(
        recorded,
        [
            RecordVerdict::Poison,
            RecordVerdict::Decided,
            RecordVerdict::Duplicate { resent: false },
            RecordVerdict::Redelivered,
            RecordVerdict::Redelivered,
            RecordVerdict::Decided,
            RecordVerdict::Redelivered,
        ]
    );
    let totals = fixture.totals().await;
    assert_eq!((totals.decided, totals.duplicates, totals.poison, totals.in_flight), (2, 1, 1, 2));
}

pub(super) async fn a_large_batch_is_recorded_in_its_order(fixture: StoreFixture) {
    // The ids descend, which detects a store that sorts them.
    let outcome = |n: u32| decided(&format!("s/{n}-0"), message(n, "a.example"), fixture.now());
    let numbers: Vec<u32> = (1..=300).rev().collect();
    let third = |n: &u32| n.is_multiple_of(3);
    fixture.record(numbers.iter().copied().filter(third).map(outcome).collect()).await;
    let verdicts = fixture.record(numbers.iter().copied().map(outcome).collect()).await;
    let expected: Vec<_> = numbers
        .iter()
        .map(|n| if third(n) { RecordVerdict::Redelivered } else { RecordVerdict::Decided })
        .collect();
    assert_eq!(verdicts, expected);
    assert_eq!(fixture.backlog().await, (300, 0));
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
}

pub(super) async fn a_repeat_sends_a_finished_callback_again_after_a_minute(fixture: StoreFixture) {
    for (request, gives_up) in [(1, true), (2, false)] {
        let first = fixture.decide(request, "a.example").await;
        if gives_up {
            fixture.give_up(&first).await;
        } else {
            fixture.deliver(&first).await;
        }
        let ask = async |key: u32| {
            let outcome =
                decided(&format!("s/{key}-{request}"), message(request, "a.example"), fixture.now());
            fixture.record(vec![outcome]).await.remove(0)
        };
        fixture.advance(Duration::from_secs(55)).await;
        assert_eq!(ask(50).await, RecordVerdict::Duplicate { resent: false });
        assert!(fixture.claim(limits(10, 10)).await.is_empty());

        fixture.advance(Duration::from_secs(6)).await;
        assert_eq!(ask(51).await, RecordVerdict::Duplicate { resent: true });
        assert_eq!(ask(52).await, RecordVerdict::Duplicate { resent: false });
        assert_eq!(fixture.backlog().await, (1, 0));

        let claimed = fixture.claim(limits(10, 10)).await.remove(0);
        assert_eq!((claimed.attempt, claimed.round_attempt), (attempt(2), attempt(1)));
        assert!(claimed.round_age < Duration::from_secs(30), "{:?}", claimed.round_age);
        fixture.deliver(&claimed).await;
        let shown = fixture.view.decision(&request_id(request)).await.unwrap().unwrap();
        assert_eq!(shown.decision.callback.state, "delivered");
        assert_eq!((shown.decision.callback.attempts, shown.attempts.len(), shown.duplicates), (2, 2, 3));
        assert_eq!(fixture.totals().await.torn, 0);
    }
    assert_eq!(fixture.totals().await.delivered, 2);
}

pub(super) async fn a_repeat_does_not_change_a_leased_callback(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    fixture.advance(Duration::from_hours(1)).await;
    let again = fixture.record(vec![decided("s/2-0", message(1, "a.example"), fixture.now())]).await;
    assert_eq!(again, [RecordVerdict::Duplicate { resent: false }]);
    fixture.deliver(&first).await;
    assert_eq!(fixture.backlog().await, (0, 0));
}

pub(super) async fn a_repeat_makes_a_waiting_callback_due_once_a_minute(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    let retry = AfterAttempt::Retry { after: Duration::from_hours(1) };
    fixture.report(&first, AttemptResult::Answered(503), retry).await;
    for (number, seconds, due) in [(2, 55, false), (3, 10, true), (4, 1, false)] {
        fixture.advance(Duration::from_secs(seconds)).await;
        let key = format!("s/{number}-0");
        let again = fixture.record(vec![decided(&key, message(1, "a.example"), fixture.now())]).await;
        assert_eq!(again, [RecordVerdict::Duplicate { resent: due }], "{number}");
        let claimed = fixture.claim(limits(10, 10)).await;
        assert_eq!(claimed.len(), usize::from(due), "{number}");
        if let Some(job) = claimed.first() {
            assert_eq!((job.attempt, job.round_attempt), (attempt(2), attempt(2)));
            fixture.report(job, AttemptResult::Answered(503), retry).await;
        }
    }
}

pub(super) async fn poison_is_recorded_once(fixture: StoreFixture) {
    let first = fixture.record(vec![poison("s/1-0"), poison("s/2-0")]).await;
    assert_eq!(first, [RecordVerdict::Poison, RecordVerdict::Poison]);
    let again = fixture.other.record(&[poison("s/2-0"), poison("s/3-0")]).await.unwrap();
    assert_eq!(again, [RecordVerdict::Redelivered, RecordVerdict::Poison]);
    assert_eq!(fixture.totals().await.poison, 3);
}

pub(super) async fn an_empty_batch_changes_nothing(fixture: StoreFixture) {
    assert!(fixture.record(Vec::new()).await.is_empty());
    fixture.store.report(&[]).await.unwrap();
    fixture.store.release(&[]).await.unwrap();
}

pub(super) async fn a_token_may_contain_any_character(fixture: StoreFixture) {
    let token = "\0 \u{7f}'\" \u{fffd} žeton {},\\";
    let message = chargegate_core::SessionMessage { driver_token: token.into(), ..message(1, "a.example") };
    fixture.record(vec![decided("s/1-0", message, fixture.now())]).await;
    fixture.advance(fixture.lease * 2).await;
    assert_eq!(&*fixture.claim(limits(1, 1)).await[0].driver_token, token);
    let filter = DecisionFilter { driver_token: Some(token.into()), ..DecisionFilter::default() };
    assert_eq!(fixture.view.decisions(&filter, 9, None).await.unwrap().decisions.len(), 1);
}
