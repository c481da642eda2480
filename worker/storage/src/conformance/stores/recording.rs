//! One decision per request, whoever asks again.

use std::time::Duration;

use crate::inspect::DecisionFilter;
use crate::store::{DecidedMessage, Outcome, Recorded};
use chargegate_core::{Decision, DecisionReason, DecisionStatus};

use super::*;

pub(super) async fn the_first_decision_of_a_request_wins(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    assert_eq!(first.decision.status, DecisionStatus::Allowed);
    let other = Outcome::Decided(DecidedMessage {
        key: key("s/99-0"),
        message: message(1, "a.example"),
        decision: Decision::unknown(DecisionReason::Expired),
        decided_at: bench.now(),
        late: true,
    });
    let second = bench.other.record(vec![other]).await.unwrap();
    assert!(matches!(second[..], [Recorded::Duplicate { resent: false }]), "{second:?}");
    let shown = bench.view.decision(&request_id(1)).await.unwrap().unwrap();
    assert_eq!(shown.decision.status, "allowed");
    assert_eq!((shown.message_key.as_str(), shown.duplicates), ("s/1-0", 1));
    assert!(!shown.decision.late);
}

pub(super) async fn the_same_message_is_recorded_once(bench: Bench) {
    bench.decide(1, "a.example").await;
    for store in [&bench.store, &bench.other] {
        let again = store.record(vec![decided("s/1-0", message(1, "a.example"), bench.now())]).await.unwrap();
        assert!(matches!(again[..], [Recorded::Redelivered]), "{again:?}");
    }
    let totals = bench.totals().await;
    assert_eq!((totals.decided, totals.duplicates, totals.in_flight), (1, 0, 1));
}

pub(super) async fn another_message_is_a_duplicate_once(bench: Bench) {
    bench.decide(1, "a.example").await;
    let outcome = || vec![decided("s/2-0", message(1, "a.example"), bench.now())];
    let duplicate = bench.record(outcome()).await;
    assert!(matches!(duplicate[..], [Recorded::Duplicate { resent: false }]), "{duplicate:?}");
    let again = bench.other.record(outcome()).await.unwrap();
    assert!(matches!(again[..], [Recorded::Redelivered]), "{again:?}");
    assert_eq!(bench.totals().await.duplicates, 1);
}

pub(super) async fn one_batch_may_hold_the_same_request_and_message_twice(bench: Bench) {
    let now = bench.now();
    let recorded = bench
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
    assert!(
        matches!(
            recorded[..],
            [
                Recorded::Poison,
                Recorded::Decided(_),
                Recorded::Duplicate { resent: false },
                Recorded::Redelivered,
                Recorded::Redelivered,
                Recorded::Decided(_),
                Recorded::Redelivered,
            ]
        ),
        "{recorded:?}"
    );
    let totals = bench.totals().await;
    assert_eq!((totals.decided, totals.duplicates, totals.poison, totals.in_flight), (2, 1, 1, 2));
}

pub(super) async fn a_large_batch_is_recorded_in_its_order(bench: Bench) {
    // The ids descend, so that a store which sorts them is found out.
    let numbers: Vec<u32> = (1..=300).rev().collect();
    let outcomes =
        numbers.iter().map(|n| decided(&format!("s/{n}-0"), message(*n, "a.example"), bench.now()));
    let recorded = bench.record(outcomes.collect()).await;
    let ids: Vec<_> = recorded.into_iter().map(|recorded| job(recorded).request_id).collect();
    assert_eq!(ids, numbers.into_iter().map(request_id).collect::<Vec<_>>());
    assert_eq!(bench.backlog().await, (300, 0));
    assert!(bench.claim(limits(10, 10)).await.is_empty());
}

pub(super) async fn a_repeat_sends_a_finished_callback_again_after_a_minute(bench: Bench) {
    for (request, gives_up) in [(1, true), (2, false)] {
        let first = bench.decide(request, "a.example").await;
        if gives_up {
            bench.give_up(&first).await;
        } else {
            bench.deliver(&first).await;
        }
        let ask = async |key: u32| {
            let outcome = decided(&format!("s/{key}-{request}"), message(request, "a.example"), bench.now());
            bench.record(vec![outcome]).await.remove(0)
        };
        bench.advance(Duration::from_secs(55)).await;
        assert!(matches!(ask(50).await, Recorded::Duplicate { resent: false }));
        assert!(bench.claim(limits(10, 10)).await.is_empty());

        bench.advance(Duration::from_secs(6)).await;
        assert!(matches!(ask(51).await, Recorded::Duplicate { resent: true }));
        assert!(matches!(ask(52).await, Recorded::Duplicate { resent: false }));
        assert_eq!(bench.backlog().await, (1, 0));

        let claimed = bench.claim(limits(10, 10)).await.remove(0);
        assert_eq!((claimed.attempt, claimed.round_attempt), (attempt(2), attempt(1)));
        assert_eq!(claimed.round_started_at, bench.now());
        bench.deliver(&claimed).await;
        let shown = bench.view.decision(&request_id(request)).await.unwrap().unwrap();
        assert_eq!(shown.decision.callback.state, "delivered");
        assert_eq!((shown.decision.callback.attempts, shown.attempts.len(), shown.duplicates), (2, 2, 3));
        assert_eq!(bench.totals().await.torn, 0);
    }
    assert_eq!(bench.totals().await.delivered, 2);
}

pub(super) async fn a_repeat_leaves_a_pending_callback_alone(bench: Bench) {
    let first = bench.decide(1, "a.example").await;
    bench.advance(Duration::from_hours(1)).await;
    let again = bench.record(vec![decided("s/2-0", message(1, "a.example"), bench.now())]).await;
    assert!(matches!(again[..], [Recorded::Duplicate { resent: false }]), "{again:?}");
    bench.deliver(&first).await;
    assert_eq!(bench.backlog().await, (0, 0));
}

pub(super) async fn poison_is_put_aside_once(bench: Bench) {
    let first = bench.record(vec![poison("s/1-0"), poison("s/2-0")]).await;
    assert!(matches!(first[..], [Recorded::Poison, Recorded::Poison]), "{first:?}");
    let again = bench.other.record(vec![poison("s/2-0"), poison("s/3-0")]).await.unwrap();
    assert!(matches!(again[..], [Recorded::Redelivered, Recorded::Poison]), "{again:?}");
    assert_eq!(bench.totals().await.poison, 3);
}

pub(super) async fn an_empty_batch_is_nothing(bench: Bench) {
    assert!(bench.record(Vec::new()).await.is_empty());
    bench.store.report(Vec::new()).await.unwrap();
    bench.store.release(Vec::new()).await.unwrap();
}

pub(super) async fn a_token_may_hold_any_character(bench: Bench) {
    let token = "\0 \u{7f}'\" \u{fffd} žeton {},\\";
    let message = chargegate_core::SessionMessage { driver_token: token.into(), ..message(1, "a.example") };
    bench.record(vec![decided("s/1-0", message, bench.now())]).await;
    bench.advance(bench.lease * 2).await;
    assert_eq!(&*bench.claim(limits(1, 1)).await[0].driver_token, token);
    let filter = DecisionFilter { driver_token: Some(token.into()), ..DecisionFilter::default() };
    assert_eq!(bench.view.decisions(&filter, 9, None).await.unwrap().decisions.len(), 1);
}
