use chargegate_queue::ComponentSettings as _;

use super::*;

fn settings(variables: &[(&str, &str)]) -> RedisQueueSettings {
    let server = ("queue_url", "redis://h");
    let found = |name: &str| variables.iter().chain([&server]).find(|(known, _)| *known == name);
    RedisQueueSettings::read(|name| found(name).map(|(_, value)| (*value).to_owned())).unwrap()
}

#[test]
fn a_message_is_appended_unchanged_to_its_stream() {
    let settings = settings(&[("queue_prefix", "p"), ("queue_limit", "160")]);
    let command = RedisCommand::append(&settings, "foobar").unwrap();
    assert_eq!(command.name, "EVAL");
    let number = RedisArgument::Number;
    let expected = [number(1), "{p}:messages".into(), number(160), "m".into(), "foobar".into()];
    assert_eq!(command.arguments[1..], expected);
}

#[test]
fn a_message_longer_than_workers_decode_is_too_large() {
    let settings = settings(&[]);
    assert!(RedisCommand::append(&settings, &"x".repeat(MAX_MESSAGE_BYTES)).is_ok());
    let larger = "x".repeat(MAX_MESSAGE_BYTES + 1);
    assert_eq!(RedisCommand::append(&settings, &larger), Err(RedisEnqueueError::TooLarge));
}

#[test]
fn only_the_exact_reply_confirms_an_append() {
    let code = |code: &str| RedisReply::Bytes(code.into());
    let refused = |code: &str| Err(RedisEnqueueError::Command(Some(code.into())));
    let unexpected = || Err(RedisEnqueueError::UnexpectedReply);
    for (reply, expected) in [
        (vec![RedisReply::Number(1)], Ok(())),
        (vec![RedisReply::Number(0)], Err(RedisEnqueueError::Full)),
        (vec![code("OOM")], Err(RedisEnqueueError::Full)),
        (vec![code("READONLY")], refused("READONLY")),
        (vec![RedisReply::Number(2)], unexpected()),
        (vec![RedisReply::Number(1), RedisReply::Number(1)], unexpected()),
        (vec![RedisReply::Nil], unexpected()),
        (vec![], unexpected()),
    ] {
        assert_eq!(read_append_reply(&reply), expected, "{reply:?}");
    }
}

#[test]
fn only_the_exact_reply_confirms_a_sync() {
    let numbers = |numbers: &[i64]| {
        read_sync_reply(&numbers.iter().copied().map(RedisReply::Number).collect::<Vec<_>>())
    };
    assert_eq!(numbers(&[1, 0]), Ok(()));
    assert_eq!(numbers(&[0, 0]), Err(RedisEnqueueError::TimedOut));
    assert_eq!(numbers(&[1]), Err(RedisEnqueueError::UnexpectedReply));
    assert_eq!(numbers(&[]), Err(RedisEnqueueError::UnexpectedReply));
}
