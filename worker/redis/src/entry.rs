//! Entries of a stream, parsed from replies of the server.

use std::fmt;
use std::str::FromStr;

use chargegate_core::{MAX_MESSAGE_BYTES, UnixMillis};
use chargegate_redis_layout::STREAM_FIELD;
use redis::{FromRedisValue, ParsingError, Value};

/// Id of an entry in its stream: the server's time in milliseconds, and a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct EntryId {
    milliseconds: u64,
    sequence: u64,
}

impl EntryId {
    /// Returns an id that precedes those of all entries added from `milliseconds` on, and follows those of earlier
    /// entries, unless the newest entry of the stream follows it.
    pub(super) fn before(milliseconds: u64) -> Self {
        // A store may keep signed numbers.
        Self { milliseconds: milliseconds.saturating_sub(1), sequence: u64::MAX >> 1 }
    }

    /// Returns the time at which the entry was added, by the server's clock.
    pub(super) fn time(self) -> UnixMillis {
        UnixMillis(self.milliseconds).min(UnixMillis::MAX)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.sequence)
    }
}

/// The text is not the id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryIdError;

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        let (milliseconds, sequence) = text.split_once('-').ok_or(EntryIdError)?;
        let id = Self {
            milliseconds: milliseconds.parse().map_err(|_| EntryIdError)?,
            sequence: sequence.parse().map_err(|_| EntryIdError)?,
        };
        // Each id has one spelling.
        if id.to_string() == text { Ok(id) } else { Err(EntryIdError) }
    }
}

impl FromRedisValue for EntryId {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text = String::from_redis_value(value)?;
        text.parse().map_err(|EntryIdError| ParsingError::from("not the id of an entry"))
    }
}

impl redis::ToRedisArgs for EntryId {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

impl redis::ToSingleRedisArg for EntryId {}

/// An entry that was read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StreamEntry {
    pub(super) id: EntryId,
    /// The message; empty where the entry is not one of ours.
    pub(super) body: Vec<u8>,
}

/// The entries in a reply. An entry that is not a message has an empty body, which is poison, and does not fail the
/// entries beside it.
#[derive(Default)]
pub(super) struct StreamEntries(pub(super) Vec<StreamEntry>);

impl FromRedisValue for StreamEntries {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let entries = match value {
            Value::Array(entries) => entries,
            Value::Nil => Vec::new(),
            _ => return Err("not a list of entries".into()),
        };
        let mut read = Vec::with_capacity(entries.len());
        for entry in entries {
            // A deleted entry is nil.
            if entry != Value::Nil {
                read.push(StreamEntry::from_redis_value(entry)?);
            }
        }
        Ok(Self(read))
    }
}

impl FromRedisValue for StreamEntry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let Value::Array(items) = value else { return Err("not an entry".into()) };
        let mut items = items.into_iter();
        let id = EntryId::from_redis_value(items.next().unwrap_or(Value::Nil))?;
        let fields = match items.next() {
            Some(Value::Array(fields)) => fields,
            _ => Vec::new(),
        };
        Ok(Self { id, body: message(fields) })
    }
}

/// Reply of a read of one stream: its entries, none if the read timed out.
#[derive(Default)]
pub(super) struct StreamReadReply(pub(super) StreamEntries);

impl FromRedisValue for StreamReadReply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        match value {
            Value::Nil => Ok(Self::default()),
            value => {
                let streams = Vec::<(Value, StreamEntries)>::from_redis_value(value)?;
                Ok(streams.into_iter().next().map(|(_, entries)| Self(entries)).unwrap_or_default())
            }
        }
    }
}

/// Returns the message in the fields of an entry if there is exactly one. A message that is too long is truncated to
/// a length that is still too long: memory stays bounded whatever the stream contains.
fn message(fields: Vec<Value>) -> Vec<u8> {
    let mut found = None;
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if matches!(&name, Value::BulkString(name) if name == STREAM_FIELD.as_bytes()) {
            match (value, &found) {
                (Value::BulkString(body), None) => found = Some(body),
                _ => return Vec::new(),
            }
        }
    }
    let mut body = found.unwrap_or_default();
    if body.len() > MAX_MESSAGE_BYTES {
        body.truncate(MAX_MESSAGE_BYTES + 1);
        body.shrink_to_fit();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[track_caller]
    fn check(fields: Vec<Value>, body: &[u8]) {
        let entry = Value::Array(vec![text("5-1"), Value::Array(fields)]);
        assert_eq!(StreamEntry::from_redis_value(entry).unwrap().body, body);
    }

    #[test]
    fn only_a_single_message_field_is_decoded() {
        check(vec![text("m"), text("body")], b"body");
        check(vec![text("x"), text("1"), text("m"), text("body")], b"body");
        check(vec![text("m"), Value::BulkString(vec![0xff, 0])], b"\xff\0");
        check(vec![], b"");
        check(vec![text("M"), text("body")], b"");
        check(vec![text("m"), text("one"), text("m"), text("two")], b"");
        check(vec![Value::BulkString(vec![0xff]), text("m")], b"");
    }

    #[test]
    fn a_long_message_is_truncated_and_stays_too_long() {
        for (length, kept) in [(MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES), (1 << 20, MAX_MESSAGE_BYTES + 1)] {
            let body = message(vec![text("m"), Value::BulkString(vec![b'x'; length])]);
            assert_eq!(body.len(), kept);
            assert!(body.capacity() <= 2 * kept);
        }
    }

    #[test]
    fn an_id_has_one_form() {
        for text in ["0-0", "1763830000000-12", "18446744073709551615-18446744073709551615"] {
            assert_eq!(text.parse::<EntryId>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1-", "-1", "01-1", "+1-1", "1-1-1", "1-18446744073709551616"] {
            assert_eq!(text.parse::<EntryId>(), Err(EntryIdError), "{text}");
        }
    }

    #[test]
    fn a_deleted_entry_is_nil() {
        let reply = Value::Array(vec![Value::Nil, Value::Array(vec![text("5-1"), Value::Nil])]);
        let StreamEntries(entries) = StreamEntries::from_redis_value(reply).unwrap();
        assert_eq!(entries.len(), 1);
        assert!(StreamReadReply::from_redis_value(Value::Nil).unwrap().0.0.is_empty());
    }
}
