use chargegate_core::{DecisionStatus, callback_body};

use super::*;

fn book() -> Book {
    let book = Book::new(3, Duration::from_millis(1));
    book.begin(Instant::now(), 1_000);
    book
}

fn call_back(book: &Book, number: u64, status: DecisionStatus) {
    let body = callback_body(&station(number).parse().unwrap(), DRIVER_TOKEN, status);
    book.called_back(number, Callback { body: body.as_bytes(), reason: b"acl", decided_at: Some(1_005) });
}

#[test]
fn what_is_accepted_and_not_called_back_is_missing() {
    let book = book();
    for number in 0..3 {
        book.answered(number, Answer::Accepted);
    }
    call_back(&book, 1, DecisionStatus::Allowed);
    assert!(!book.is_settled());
    let totals = book.totals();
    assert_eq!((totals.accepted, totals.called_back, totals.missing), (3, 1, 2));
    call_back(&book, 0, DecisionStatus::Allowed);
    call_back(&book, 2, DecisionStatus::Invalid);
    assert!(book.is_settled());
    assert_eq!((book.totals().missing, book.totals().contradictory), (0, 0));
    assert_eq!(book.spans().deciding, Duration::from_millis(5));
}

#[test]
fn a_callback_may_come_before_the_answer_or_without_one() {
    let book = book();
    call_back(&book, 0, DecisionStatus::Allowed);
    book.answered(0, Answer::Accepted);
    call_back(&book, 1, DecisionStatus::Allowed);
    book.answered(1, Answer::Uncertain);
    book.answered(2, Answer::Refused);
    assert!(book.is_settled());
    let totals = book.totals();
    assert_eq!((totals.accepted, totals.uncertain, totals.refused), (1, 1, 1));
    assert_eq!((totals.called_back, totals.missing), (2, 0));
}

#[test]
fn only_another_status_contradicts() {
    let book = book();
    call_back(&book, 0, DecisionStatus::Allowed);
    call_back(&book, 0, DecisionStatus::Allowed);
    assert_eq!((book.totals().repeated, book.totals().contradictory), (1, 0));
    call_back(&book, 0, DecisionStatus::Unknown);
    call_back(&book, 0, DecisionStatus::Unknown);
    assert_eq!((book.totals().repeated, book.totals().contradictory), (3, 1), "one request, however often");
}

#[test]
fn what_is_nobodys_is_wrong() {
    let book = book();
    let other = callback_body(&station(1).parse().unwrap(), DRIVER_TOKEN, DecisionStatus::Allowed);
    let wrong = |number, body: &str| {
        book.called_back(number, Callback { body: body.as_bytes(), reason: b"acl", decided_at: None });
    };
    wrong(0, &other);
    wrong(0, &other.replace("allowed", "perhaps"));
    wrong(1, &other.replace('}', ",\"more\":1}"));
    wrong(3, &callback_body(&station(3).parse().unwrap(), DRIVER_TOKEN, DecisionStatus::Allowed));
    let totals = book.totals();
    assert_eq!((totals.contradictory, totals.called_back), (4, 0));
}
