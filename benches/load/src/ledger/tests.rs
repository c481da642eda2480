use chargegate_core::{DecisionStatus, callback_body};

use super::*;

fn ledger() -> LoadLedger {
    let ledger = LoadLedger::new(3, Duration::from_millis(1));
    ledger.begin(Instant::now(), 1_000);
    ledger
}

fn call_back(ledger: &LoadLedger, number: u64, status: DecisionStatus) {
    let body = callback_body(&station(number).parse().unwrap(), DRIVER_TOKEN, status);
    ledger
        .called_back(number, LoadCallback { body: body.as_bytes(), reason: b"acl", decided_at: Some(1_005) });
}

#[test]
fn an_accepted_request_without_a_callback_is_missing() {
    let ledger = ledger();
    for number in 0..3 {
        ledger.answered(number, SubmitOutcome::Accepted);
    }
    call_back(&ledger, 1, DecisionStatus::Allowed);
    assert!(!ledger.is_settled());
    let totals = ledger.totals();
    assert_eq!((totals.accepted, totals.called_back, totals.missing), (3, 1, 2));
    call_back(&ledger, 0, DecisionStatus::Allowed);
    call_back(&ledger, 2, DecisionStatus::Invalid);
    assert!(ledger.is_settled());
    assert_eq!((ledger.totals().missing, ledger.totals().contradictory), (0, 0));
    assert_eq!(ledger.spans().deciding, Duration::from_millis(5));
}

#[test]
fn a_callback_may_arrive_before_the_response_or_without_one() {
    let ledger = ledger();
    call_back(&ledger, 0, DecisionStatus::Allowed);
    ledger.answered(0, SubmitOutcome::Accepted);
    call_back(&ledger, 1, DecisionStatus::Allowed);
    ledger.answered(1, SubmitOutcome::Uncertain);
    ledger.answered(2, SubmitOutcome::Refused);
    assert!(ledger.is_settled());
    let totals = ledger.totals();
    assert_eq!((totals.accepted, totals.uncertain, totals.refused), (1, 1, 1));
    assert_eq!((totals.called_back, totals.missing), (2, 0));
}

#[test]
fn only_a_different_status_contradicts() {
    let ledger = ledger();
    call_back(&ledger, 0, DecisionStatus::Allowed);
    call_back(&ledger, 0, DecisionStatus::Allowed);
    assert_eq!((ledger.totals().repeated, ledger.totals().contradictory), (1, 0));
    call_back(&ledger, 0, DecisionStatus::Unknown);
    call_back(&ledger, 0, DecisionStatus::Unknown);
    assert_eq!(
        (ledger.totals().repeated, ledger.totals().contradictory),
        (3, 1),
        "one request, however often"
    );
}

#[test]
fn a_callback_of_no_request_counts_as_contradictory() {
    let ledger = ledger();
    let other = callback_body(&station(1).parse().unwrap(), DRIVER_TOKEN, DecisionStatus::Allowed);
    let wrong = |number, body: &str| {
        ledger.called_back(number, LoadCallback { body: body.as_bytes(), reason: b"acl", decided_at: None });
    };
    wrong(0, &other);
    wrong(0, &other.replace("allowed", "perhaps"));
    wrong(1, &other.replace('}', ",\"more\":1}"));
    wrong(3, &callback_body(&station(3).parse().unwrap(), DRIVER_TOKEN, DecisionStatus::Allowed));
    let totals = ledger.totals();
    assert_eq!((totals.contradictory, totals.called_back), (4, 0));
}
