//! Keys of a queue, and ids of its messages.

use chargegate_redis_layout::{heartbeat_key, history_key, stream_key};

use super::entry::EntryId;
use chargegate_storage::queue::MessageKey;

/// The keys of a queue.
#[derive(Clone, Debug)]
pub(super) struct RedisKeys {
    prefix: String,
    /// Stream of messages.
    pub(super) stream: String,
    /// Hash with the history of the queue.
    pub(super) history: String,
}

impl RedisKeys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), stream: stream_key(prefix), history: history_key(prefix) }
    }

    /// Returns the key that exists while a consumer is alive.
    pub(super) fn heartbeat(&self, consumer: &str) -> String {
        heartbeat_key(&self.prefix, consumer)
    }

    /// Returns the message key of an entry.
    pub(super) fn message_key(&self, id: EntryId) -> MessageKey {
        MessageKey::from(format!("{}/{id}", self.stream))
    }

    /// Returns the entry of a message; `None` if it cannot be in this queue.
    pub(super) fn entry_id(&self, key: &MessageKey) -> Option<EntryId> {
        key.as_str().strip_prefix(&self.stream)?.strip_prefix('/')?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_message_key() {
        let keys = RedisKeys::new("a/b");
        let id: EntryId = "17-4".parse().unwrap();
        assert_eq!(keys.message_key(id).as_str(), "{a/b}:messages/17-4");
        assert_eq!(keys.entry_id(&keys.message_key(id)), Some(id));
        for foreign in ["", "1", "{b}:messages/17-4", "{a/b}:messages/17", "{a/b}:messages"] {
            assert_eq!(keys.entry_id(&MessageKey::from(foreign.to_owned())), None, "{foreign}");
        }
    }
}
