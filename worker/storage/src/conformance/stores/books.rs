//! The books, before and after retention.

use std::time::Duration;

use crate::inspect::DecisionFilter;
use crate::store::Recorded;

use super::bench::Totals;
use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// Two delivered, one dead, one in flight, a duplicate, poison.
async fn one_of_each(bench: &Bench) {
    for n in [1, 4] {
        let first = bench.decide(n, "a.example").await;
        bench.deliver(&first).await;
    }
    let dead = bench.decide(2, "a.example").await;
    bench.give_up(&dead).await;
    bench.decide(3, "a.example").await;
    bench.record(vec![decided("s/9-0", message(1, "a.example"), bench.now()), poison("s/5-0")]).await;
}

const EACH: Totals =
    Totals { decided: 4, duplicates: 1, poison: 1, delivered: 2, dead: 1, in_flight: 1, torn: 0 };

pub(super) async fn an_empty_store_balances(bench: Bench) {
    let totals = bench.totals().await;
    assert_eq!((totals.decided, totals.in_flight, totals.torn), (0, 0, 0));
    assert_eq!(bench.purge(bench.now()).await, 1);
}

pub(super) async fn everything_is_counted(bench: Bench) {
    one_of_each(&bench).await;
    assert_eq!(bench.totals().await, EACH);
}

pub(super) async fn the_books_are_the_same_after_retention(bench: Bench) {
    one_of_each(&bench).await;
    let pending = bench.claim(limits(9, 9)).await;
    assert!(pending.is_empty());
    bench.advance(HOUR).await;
    let last = bench.claim(limits(9, 9)).await.remove(0);
    bench.deliver(&last).await;
    bench.advance(HOUR).await;
    let before = bench.totals().await;
    bench.purge(bench.now().minus(HOUR / 2)).await;
    assert_eq!(bench.totals().await, before);
    assert_eq!(before, Totals { delivered: 3, in_flight: 0, ..EACH });
    for n in 1..=4 {
        assert!(bench.view.decision(&request_id(n)).await.unwrap().is_none());
    }
    assert!(bench.view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.is_empty());
    assert_eq!(bench.backlog().await, (0, 0));
}

pub(super) async fn what_is_pending_outlives_retention(bench: Bench) {
    one_of_each(&bench).await;
    bench.advance(HOUR).await;
    bench.purge(bench.now().minus(HOUR / 2)).await;
    assert_eq!(bench.totals().await, EACH);
    let kept = bench.claim(limits(9, 9)).await.remove(0);
    assert_eq!(kept.request_id, request_id(3));
    bench.deliver(&kept).await;
    // It was finished just now, so it stays for as long as the others did.
    bench.purge(bench.now().minus(HOUR / 2)).await;
    let shown = bench.view.decision(&request_id(3)).await.unwrap().unwrap();
    assert_eq!(shown.decision.callback.state, "delivered");
    bench.advance(HOUR).await;
    bench.purge(bench.now().minus(HOUR / 2)).await;
    assert!(bench.view.decision(&request_id(3)).await.unwrap().is_none());
    assert_eq!(bench.totals().await, Totals { delivered: 3, in_flight: 0, ..EACH });
}

pub(super) async fn what_is_not_old_enough_stays(bench: Bench) {
    one_of_each(&bench).await;
    bench.advance(HOUR).await;
    assert_eq!(bench.purge(bench.now().minus(HOUR * 2)).await, 1);
    assert_eq!(bench.view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.len(), 4);
    assert_eq!(bench.totals().await, EACH);
}

pub(super) async fn a_forgotten_request_is_decided_anew(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    bench.deliver(&first).await;
    bench.advance(HOUR).await;
    bench.purge(bench.now().minus(HOUR / 2)).await;
    let again = bench.record(vec![decided("s/1-0", message(1, "a.example"), bench.now())]).await;
    assert!(matches!(again[..], [Recorded::Decided(_)]), "{again:?}");
    assert_eq!(bench.totals().await.decided, 2);
}

pub(super) async fn retention_works_in_bounded_steps(bench: Bench) {
    for batch in 0..9 {
        let numbers = batch * 1000..(batch + 1) * 1000;
        let outcomes = numbers.map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), bench.now()));
        let recorded = bench.record(outcomes.collect()).await;
        let reports = recorded.into_iter().map(|recorded| delivered(&job(recorded), bench.now()));
        bench.store.report(reports.collect()).await.unwrap();
    }
    bench.advance(HOUR).await;
    let before = bench.totals().await;
    let mut steps = 0;
    while bench.store.purge(bench.now().minus(HOUR / 2)).await.unwrap() {
        steps += 1;
        assert_eq!(bench.totals().await, before);
    }
    assert!(steps >= 4, "{steps}");
    assert_eq!(bench.totals().await, before);
    assert!(bench.view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.is_empty());
}
