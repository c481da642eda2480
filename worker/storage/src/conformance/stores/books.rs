//! Totals before and after retention.

use std::time::Duration;

use crate::inspect::DecisionFilter;
use crate::store::RecordVerdict;

use super::fixture::OutcomeCounts;
use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// Records two delivered callbacks, one dead, one in flight, a duplicate and poison.
async fn one_of_each(fixture: &StoreFixture) {
    for n in [1, 4] {
        let first = fixture.decide(n, "a.example").await;
        fixture.deliver(&first).await;
    }
    let dead = fixture.decide(2, "a.example").await;
    fixture.give_up(&dead).await;
    fixture.decide(3, "a.example").await;
    fixture.record(vec![decided("s/9-0", message(1, "a.example"), fixture.now()), poison("s/5-0")]).await;
}

const EACH: OutcomeCounts =
    OutcomeCounts { decided: 4, duplicates: 1, poison: 1, delivered: 2, dead: 1, in_flight: 1, torn: 0 };

pub(super) async fn an_empty_store_balances(fixture: StoreFixture) {
    let totals = fixture.totals().await;
    assert_eq!((totals.decided, totals.in_flight, totals.torn), (0, 0, 0));
    assert_eq!(fixture.purge(Duration::ZERO).await, 1);
}

pub(super) async fn every_outcome_is_counted(fixture: StoreFixture) {
    one_of_each(&fixture).await;
    assert_eq!(fixture.totals().await, EACH);
}

pub(super) async fn totals_are_unchanged_by_retention(fixture: StoreFixture) {
    one_of_each(&fixture).await;
    let pending = fixture.claim(limits(9, 9)).await;
    assert!(pending.is_empty());
    fixture.advance(HOUR).await;
    let last = fixture.claim(limits(9, 9)).await.remove(0);
    fixture.deliver(&last).await;
    fixture.advance(HOUR).await;
    let before = fixture.totals().await;
    fixture.purge(HOUR / 2).await;
    assert_eq!(fixture.totals().await, before);
    assert_eq!(before, OutcomeCounts { delivered: 3, in_flight: 0, ..EACH });
    for n in 1..=4 {
        assert!(fixture.view.decision(&request_id(n)).await.unwrap().is_none());
    }
    assert!(fixture.view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.is_empty());
    assert_eq!(fixture.backlog().await, (0, 0));
}

pub(super) async fn a_pending_callback_outlives_retention(fixture: StoreFixture) {
    one_of_each(&fixture).await;
    fixture.advance(HOUR).await;
    fixture.purge(HOUR / 2).await;
    assert_eq!(fixture.totals().await, EACH);
    let kept = fixture.claim(limits(9, 9)).await.remove(0);
    assert_eq!(kept.request_id, request_id(3));
    fixture.deliver(&kept).await;
    // It was finished just now, so its retention period begins now.
    fixture.purge(HOUR / 2).await;
    let shown = fixture.view.decision(&request_id(3)).await.unwrap().unwrap();
    assert_eq!(shown.decision.callback.state, "delivered");
    fixture.advance(HOUR).await;
    fixture.purge(HOUR / 2).await;
    assert!(fixture.view.decision(&request_id(3)).await.unwrap().is_none());
    assert_eq!(fixture.totals().await, OutcomeCounts { delivered: 3, in_flight: 0, ..EACH });
}

pub(super) async fn decisions_within_the_retention_period_are_kept(fixture: StoreFixture) {
    one_of_each(&fixture).await;
    fixture.advance(HOUR).await;
    assert_eq!(fixture.purge(HOUR * 2).await, 1);
    assert_eq!(fixture.view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.len(), 4);
    assert_eq!(fixture.totals().await, EACH);
}

pub(super) async fn a_purged_request_is_decided_again(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    fixture.deliver(&first).await;
    fixture.advance(HOUR).await;
    fixture.purge(HOUR / 2).await;
    let again = fixture.record(vec![decided("s/1-0", message(1, "a.example"), fixture.now())]).await;
    assert_eq!(again, [RecordVerdict::Decided]);
    assert_eq!(fixture.totals().await.decided, 2);
}

pub(super) async fn retention_works_in_bounded_steps(fixture: StoreFixture) {
    for batch in 0..9 {
        let numbers = batch * 1000..(batch + 1) * 1000;
        let outcomes = numbers.map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), fixture.now()));
        let jobs = record_first(fixture.store.as_ref(), outcomes.collect()).await;
        let reports: Vec<_> = jobs.iter().map(|job| delivered(job, fixture.now())).collect();
        fixture.store.report(&reports).await.unwrap();
    }
    fixture.advance(HOUR).await;
    let before = fixture.totals().await;
    let mut steps = 0;
    while fixture.store.purge(HOUR / 2).await.unwrap() {
        steps += 1;
        assert_eq!(fixture.totals().await, before);
    }
    assert!(steps >= 4, "{steps}");
    assert_eq!(fixture.totals().await, before);
    assert!(fixture.view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.is_empty());
}
