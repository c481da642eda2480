use super::*;
use crate::send::callback::CallbackContradiction;
use crate::send::client::ResponseLoss;

const ALLOWED: &[u8] = br#"{"station_id":"S","driver_token":"T","status":"allowed"}"#;
const UNKNOWN: &[u8] = br#"{"station_id":"S","driver_token":"T","status":"unknown"}"#;

fn accepted() -> RequestAck {
    RequestAck::Accepted { after: Duration::from_millis(1), request_id: Some("id".into()) }
}

/// Checks the contradiction of a request and whether it has more than one callback, in both orders of arrival.
fn check(
    ack: &RequestAck,
    callbacks: &[(Option<&str>, &[u8])],
    expected: (Option<CallbackContradiction>, bool),
) {
    for ack_first in [true, false] {
        let ledger = RequestLedger::new("T".into());
        let now = Instant::now();
        let number = ledger.record_sent(now, "S".into());
        let call_back = || {
            for (webhook_id, body) in callbacks {
                ledger.record_callback(number, now, *webhook_id, body).unwrap();
            }
        };
        if ack_first {
            ledger.record_ack(number, ack.clone());
            call_back();
        } else {
            call_back();
            ledger.record_ack(number, ack.clone());
        }
        ledger.for_each(|entry| assert_eq!((entry.contradiction(), entry.is_repeated()), expected));
        assert_eq!(*ledger.awaiting.borrow(), 0);
    }
}

#[tokio::test]
async fn callbacks_are_compared_with_the_response_and_each_other_in_either_order() {
    let id = Some("id");
    check(&accepted(), &[(id, ALLOWED)], (None, false));
    check(&accepted(), &[(id, ALLOWED), (id, ALLOWED)], (None, true));
    check(&accepted(), &[(id, ALLOWED), (id, UNKNOWN)], (Some(CallbackContradiction::Changed), true));
    check(&accepted(), &[(id, b"{}")], (Some(CallbackContradiction::Shape), false));
    check(&accepted(), &[(Some("other"), ALLOWED)], (Some(CallbackContradiction::RequestId), false));
    check(&accepted(), &[(None, ALLOWED)], (Some(CallbackContradiction::RequestId), false));
    let nameless = RequestAck::Accepted { after: Duration::ZERO, request_id: None };
    check(&nameless, &[(None, ALLOWED)], (Some(CallbackContradiction::RequestId), false));
    check(&RequestAck::Uncertain(ResponseLoss::Cut), &[(id, ALLOWED)], (None, false));
    check(
        &RequestAck::Uncertain(ResponseLoss::Cut),
        &[(id, ALLOWED), (Some("2"), ALLOWED)],
        (Some(CallbackContradiction::Changed), true),
    );
    check(
        &RequestAck::Refused { status: 422 },
        &[(id, ALLOWED)],
        (Some(CallbackContradiction::Refused), false),
    );
    check(&RequestAck::Refused { status: 422 }, &[], (None, false));
    check(&RequestAck::Refused { status: 503 }, &[(id, ALLOWED)], (None, false));
}

#[tokio::test]
async fn the_wait_ends_with_the_callback_of_the_last_accepted_request() {
    let ledger = RequestLedger::new("T".into());
    let now = Instant::now();
    let (one, two) = (ledger.record_sent(now, "S".into()), ledger.record_sent(now, "S".into()));
    ledger.record_ack(one, accepted());
    ledger.record_ack(two, RequestAck::Uncertain(ResponseLoss::TimedOut));
    let all_arrived = async {
        ledger.wait_for_callbacks(Duration::from_hours(1)).await;
        assert_eq!(ledger.counts().called_back, 1);
    };
    tokio::join!(biased; all_arrived, async { ledger.record_callback(one, now, Some("id"), ALLOWED).unwrap() });
    assert!(ledger.record_callback(7, now, Some("id"), ALLOWED).is_none());
}
