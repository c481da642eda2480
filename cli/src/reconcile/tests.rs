use super::*;

fn books() -> Reconciliation {
    Reconciliation {
        enqueued: Some(10),
        decided: 5,
        duplicates: 1,
        poison: 1,
        waiting: 3,
        delivered: 3,
        dead: 1,
        in_flight: 1,
        ..Reconciliation::default()
    }
}

#[test]
fn balanced_counts_end_with_balanced() {
    let text = ReconciliationText(&books()).to_string();
    assert_eq!(
        text,
        "enqueued 10 = decided 5 + duplicates 1 + poison 1 + waiting 3\n\
         decided 5 = delivered 3 + dead 1 + in flight 1\n\
         balanced"
    );
}

#[test]
fn a_queue_without_counters_is_reported_as_such() {
    let uncounted = Reconciliation { enqueued: None, waiting: 4, ..books() };
    let text = ReconciliationText(&uncounted).to_string();
    assert!(text.starts_with("this queue does not count") && text.contains("waiting 4\n"), "{text}");
    assert!(text.ends_with("\nbalanced"), "{text}");
    assert_eq!(json(&uncounted)["enqueued"], json!(null));
}

#[test]
fn missing_messages_are_listed() {
    let missing = vec![SequenceRange { first: 4, last: 4 }, SequenceRange { first: 6, last: 7 }];
    let books = Reconciliation { waiting: 0, missing, ..books() };
    let text = ReconciliationText(&books).to_string();
    assert!(
        text.contains("message 4 was") && text.contains("messages 6 to 7 were") && text.contains("(2)"),
        "{text}"
    );
    assert!(text.ends_with("NOT BALANCED"), "{text}");
    assert_eq!(json(&books)["balanced"], false);
}

#[test]
fn messages_lost_by_the_queue_are_counted() {
    let books = Reconciliation { enqueued: Some(14), forgotten: 9, ..books() };
    let text = ReconciliationText(&books).to_string();
    assert!(text.contains("lost 9") && text.contains("missing: 4 messages"), "{text}");
    assert!(text.ends_with("NOT BALANCED"), "{text}");
    assert_eq!((&json(&books)["lost"], &json(&books)["forgotten"]), (&json!(4), &json!(9)));
}

#[test]
fn messages_the_queue_never_accepted_are_unexplained() {
    let text = ReconciliationText(&Reconciliation { enqueued: Some(8), ..books() }).to_string();
    assert!(text.contains("unexplained: 2 messages") && text.ends_with("NOT BALANCED"), "{text}");
}
