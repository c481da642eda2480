//! The commands, and what their answers mean.

use std::time::Duration;

use chargegate_core::{MAX_MESSAGE_BYTES, STREAM_COUNT, STREAM_FIELD, history_key, stream_for, stream_key};

use crate::error::Cause;
use crate::{QueueError, Settings};

/// Appends to the stream `ARGV[2]`, counted from none, of all streams `KEYS[2..]`, unless `ARGV[1]` messages wait
/// already: 1 when appended, 0 when full, else the code of the server's error, or `STREAMS` when the workers have noted
/// another number of streams in the field `ARGV[5]` of the hash `KEYS[1]`: they would never read some of these.
///
/// One script, so that producers beside each other keep to the limit exactly. The stream is never trimmed, since that
/// would drop what is leased and not yet decided.
const APPEND: &str = "\
local noted = redis.call('HGET', KEYS[1], ARGV[5])
if noted and tonumber(noted) ~= #KEYS - 1 then return 'STREAMS' end
local waiting = 0
for i = 2, #KEYS do waiting = waiting + redis.call('XLEN', KEYS[i]) end
if waiting >= tonumber(ARGV[1]) then return 0 end
local added = redis.pcall('XADD', KEYS[ARGV[2] + 2], '*', ARGV[3], ARGV[4])
if type(added) == 'table' and added.err then
  return string.match(added.err, '%u%u%u+') or 'ERR'
end
return 1";

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What follows.
    pub arguments: Vec<Argument>,
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A part of an answer; a host flattens arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A number.
    Number(i64),
    /// Bytes, or a status.
    Bytes(Vec<u8>),
    /// Nothing.
    Nil,
}

impl Command {
    /// Appends `message` to its stream.
    ///
    /// # Errors
    /// [`QueueError::TooLarge`]: no worker would decode it.
    pub(crate) fn append(settings: &Settings, message: &str) -> Result<Self, QueueError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(QueueError::TooLarge);
        }
        let streams = settings.streams.get();
        let mut arguments = vec![APPEND.into(), Argument::Number(i64::from(streams) + 1)];
        arguments.push(history_key(&settings.prefix).as_str().into());
        arguments.extend((0..streams).map(|number| stream_key(&settings.prefix, number).as_str().into()));
        arguments.extend([
            Argument::Number(settings.limit.into()),
            Argument::Number(stream_for(message, settings.streams).into()),
            STREAM_FIELD.into(),
            message.into(),
            STREAM_COUNT.into(),
        ]);
        Ok(Self { name: "EVAL", arguments })
    }

    /// Waits until what the connection has written is synced to the server's own disk.
    pub(crate) fn wait_for_sync(patience: Duration) -> Self {
        let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let arguments = vec![Argument::Number(1), Argument::Number(0), Argument::Number(patience)];
        Self { name: "WAITAOF", arguments }
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

/// Reads the answer to [`Command::append`].
///
/// # Errors
/// [`QueueError`]: the message was not appended, or the answer does not say so.
pub(crate) fn appended(answer: &[Reply]) -> Result<(), QueueError> {
    match answer {
        [Reply::Number(1)] => Ok(()),
        [Reply::Number(0)] => Err(QueueError::Full),
        [Reply::Bytes(code)] if code == b"OOM" => Err(QueueError::Full),
        [Reply::Bytes(code)] => {
            Err(QueueError::Unavailable(Cause::of_command(&String::from_utf8_lossy(code))))
        }
        _ => Err(QueueError::Unavailable(Cause::Answer)),
    }
}

/// Reads the answer to [`Command::wait_for_sync`]: how many local files have it, then how many of replicas.
///
/// # Errors
/// [`QueueError`]: it is not known to be on disk.
pub(crate) fn synced(answer: &[Reply]) -> Result<(), QueueError> {
    match answer {
        [Reply::Number(1..), Reply::Number(_)] => Ok(()),
        [Reply::Number(_), Reply::Number(_)] => Err(QueueError::TimedOut),
        _ => Err(QueueError::Unavailable(Cause::Answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let server = ("queue_url", "redis://h");
        let found = |name: &str| variables.iter().chain([&server]).find(|(known, _)| *known == name);
        Settings::read(|name| found(name).map(|(_, value)| (*value).to_owned())).unwrap()
    }

    #[test]
    fn a_message_goes_to_its_stream_as_it_is() {
        let settings = settings(&[("queue_prefix", "p"), ("queue_streams", "3"), ("queue_limit", "160")]);
        let command = Command::append(&settings, "foobar").unwrap();
        assert_eq!(command.name, "EVAL");
        let number = Argument::Number;
        let keys = ["p:history".into(), "p:{0}".into(), "p:{1}".into(), "p:{2}".into()];
        // 0xbf9cf968 modulo 3.
        let rest = [number(160), number(1), "m".into(), "foobar".into(), "streams".into()];
        assert_eq!(command.arguments[1..], [[number(4)].as_slice(), &keys, &rest].concat());
    }

    #[test]
    fn a_message_that_no_worker_would_decode_is_too_large() {
        let settings = settings(&[]);
        assert!(Command::append(&settings, &"x".repeat(MAX_MESSAGE_BYTES)).is_ok());
        let larger = "x".repeat(MAX_MESSAGE_BYTES + 1);
        assert_eq!(Command::append(&settings, &larger), Err(QueueError::TooLarge));
    }

    #[test]
    fn answers_are_confirmations_only_to_the_letter() {
        let code = |code: &str| Reply::Bytes(code.into());
        let refused = |code: &str| Err(QueueError::Unavailable(Cause::Command(Some(code.into()))));
        let odd = || Err(QueueError::Unavailable(Cause::Answer));
        for (answer, expected) in [
            (vec![Reply::Number(1)], Ok(())),
            (vec![Reply::Number(0)], Err(QueueError::Full)),
            (vec![code("OOM")], Err(QueueError::Full)),
            (vec![code("READONLY")], refused("READONLY")),
            (vec![code("STREAMS")], refused("STREAMS")),
            (vec![Reply::Number(2)], odd()),
            (vec![Reply::Number(1), Reply::Number(1)], odd()),
            (vec![Reply::Nil], odd()),
            (vec![], odd()),
        ] {
            assert_eq!(appended(&answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn a_sync_is_one_only_when_the_server_says_so() {
        let numbers =
            |numbers: &[i64]| synced(&numbers.iter().copied().map(Reply::Number).collect::<Vec<_>>());
        assert_eq!(numbers(&[1, 0]), Ok(()));
        assert_eq!(numbers(&[0, 0]), Err(QueueError::TimedOut));
        assert_eq!(numbers(&[1]), Err(QueueError::Unavailable(Cause::Answer)));
        assert_eq!(numbers(&[]), Err(QueueError::Unavailable(Cause::Answer)));
    }
}
