use super::*;

#[track_caller]
fn check(body: &str, expected: bool) {
    assert_eq!(can_be_sent(body), expected, "{body:?}");
}

#[test]
fn characters_that_xml_cannot_contain_are_not_sent() {
    for body in ["x", "\t\r\n ", "\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}"] {
        check(body, true);
    }
    check(&chargegate_storage::testing::message(1, UnixMillis(1)).encode(), true);
    for body in ["", "\0", "a\u{8}", "\u{b}", "\u{1f}b", "\u{fffe}", "\u{ffff}"] {
        check(body, false);
    }
}

#[test]
fn a_wait_is_rounded_up() {
    for (millis, seconds) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (20_000, 20)] {
        assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis} ms");
    }
}

#[test]
fn unreadable_attributes_have_defaults() {
    let of = |attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).to_owned()));
        let message = Message::builder().message_id("id").receipt_handle("handle").body("{");
        received(message.set_attributes(Some(attributes.collect())).build()).unwrap()
    };
    let usual = of(&[("SentTimestamp", "1795382658374"), ("ApproximateReceiveCount", "3")]);
    assert_eq!((usual.enqueued_at, usual.deliveries), (Some(UnixMillis(1_795_382_658_374)), 3));
    let odd = of(&[("SentTimestamp", "-1"), ("ApproximateReceiveCount", "many")]);
    assert_eq!((odd.enqueued_at, odd.deliveries), (None, 1));
    let huge =
        of(&[("SentTimestamp", "18446744073709551615"), ("ApproximateReceiveCount", "18446744073709551615")]);
    assert_eq!((huge.enqueued_at, huge.deliveries), (Some(UnixMillis::MAX), u32::MAX));
    assert_eq!(of(&[]).deliveries, 1);
}

#[test]
fn a_message_needs_an_id_and_a_receipt() {
    assert!(received(Message::builder().message_id("id").build()).is_none());
    assert!(received(Message::builder().receipt_handle("handle").build()).is_none());
    let without_body = Message::builder().message_id("id").receipt_handle("handle").build();
    assert_eq!(received(without_body).unwrap().body, b"");
}

#[test]
fn an_entry_without_a_result_may_have_failed() {
    let failed = |id: &str, sender_fault| {
        let entry = BatchResultErrorEntry::builder().id(id).code("Code").sender_fault(sender_fault);
        entry.build().unwrap()
    };
    let failures = entry_failures(4, ["2"].into_iter(), vec![failed("3", true), failed("1", false)]);
    let faults: Vec<_> =
        failures.iter().map(|it| it.as_ref().map(|it| (it.code.as_str(), it.sender_fault))).collect();
    assert_eq!(faults, [Some(("no outcome", false)), Some(("Code", false)), None, Some(("Code", true))]);
}
