//! The commands and the reading of their replies.

use std::time::Duration;

use chargegate_core::MAX_MESSAGE_BYTES;
use chargegate_redis_layout::{STREAM_FIELD, stream_key};

use crate::{RedisEnqueueError, RedisQueueSettings};

/// The script that appends the message `ARGV[3]` as field `ARGV[2]` to the stream `KEYS[1]`, unless that contains
/// `ARGV[1]` messages already.
///
/// Returns 1 if appended and 0 if full, else the code of the server's error.
///
/// It is one script so that concurrent producers keep to the limit exactly. The stream is never trimmed, since that
/// would drop messages that are leased and not yet decided.
const APPEND: &str = "\
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
local added = redis.pcall('XADD', KEYS[1], '*', ARGV[2], ARGV[3])
if type(added) == 'table' and added.err then
  return string.match(added.err, '%u%u%u+') or 'ERR'
end
return 1";

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisCommand {
    /// The name of the command.
    pub name: &'static str,
    /// The arguments, in order.
    pub arguments: Vec<RedisArgument>,
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisArgument {
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// One element of a reply; hosts flatten arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisReply {
    /// A number.
    Number(i64),
    /// Bytes, or a status text.
    Bytes(Vec<u8>),
    /// A null reply.
    Nil,
}

impl RedisCommand {
    /// Returns the command that appends `message` to its stream.
    ///
    /// # Errors
    /// [`RedisEnqueueError::TooLarge`]: no worker would decode the message.
    pub(crate) fn append(settings: &RedisQueueSettings, message: &str) -> Result<Self, RedisEnqueueError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(RedisEnqueueError::TooLarge);
        }
        let arguments = vec![
            APPEND.into(),
            RedisArgument::Number(1),
            stream_key(&settings.prefix).as_str().into(),
            RedisArgument::Number(settings.limit.into()),
            STREAM_FIELD.into(),
            message.into(),
        ];
        Ok(Self { name: "EVAL", arguments })
    }

    /// Returns the command that waits until the connection's writes are synced to the server's own disk.
    pub(crate) fn wait_for_sync(timeout: Duration) -> Self {
        let timeout = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let arguments =
            vec![RedisArgument::Number(1), RedisArgument::Number(0), RedisArgument::Number(timeout)];
        Self { name: "WAITAOF", arguments }
    }
}

impl From<&str> for RedisArgument {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

/// Reads the reply to [`RedisCommand::append`].
///
/// # Errors
/// [`RedisEnqueueError`]: the message was not appended, or the reply does not confirm it.
pub(crate) fn read_append_reply(reply: &[RedisReply]) -> Result<(), RedisEnqueueError> {
    match reply {
        [RedisReply::Number(1)] => Ok(()),
        [RedisReply::Number(0)] => Err(RedisEnqueueError::Full),
        [RedisReply::Bytes(code)] if code == b"OOM" => Err(RedisEnqueueError::Full),
        [RedisReply::Bytes(code)] => {
            Err(RedisEnqueueError::from_command_text(&String::from_utf8_lossy(code)))
        }
        _ => Err(RedisEnqueueError::UnexpectedReply),
    }
}

/// Reads the reply to [`RedisCommand::wait_for_sync`]: the number of local files that are synced, then of replicas.
///
/// # Errors
/// [`RedisEnqueueError`]: the message is not confirmed to be on disk.
pub(crate) fn read_sync_reply(reply: &[RedisReply]) -> Result<(), RedisEnqueueError> {
    match reply {
        [RedisReply::Number(1..), RedisReply::Number(_)] => Ok(()),
        [RedisReply::Number(_), RedisReply::Number(_)] => Err(RedisEnqueueError::TimedOut),
        _ => Err(RedisEnqueueError::UnexpectedReply),
    }
}

#[cfg(test)]
mod tests;
