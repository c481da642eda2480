use super::*;

#[track_caller]
fn check(body: &str, expected: bool) {
    assert_eq!(can_be_sent(body), expected, "{body:?}");
}

#[test]
fn only_what_xml_holds_is_sent() {
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
fn what_is_odd_about_a_message_keeps_none_from_coming() {
    let of = |attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        received(SqsMessage {
            id: "id".to_owned(),
            receipt_handle: "handle".to_owned(),
            body: "{".to_owned(),
            attributes: attributes.collect(),
        })
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
