//! The streams and other keys of a queue.

use std::num::NonZeroU16;

use chargegate_redis_layout::{history_key, stream_for, stream_key};

use super::entry::EntryId;
use chargegate_storage::queue::MessageKey;

/// A message's place: the number of its stream and its id there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct EntryLocation {
    pub(super) stream: usize,
    pub(super) id: EntryId,
}

/// The names of a queue's keys.
#[derive(Clone, Debug)]
pub(super) struct StreamSet {
    prefix: String,
    keys: Vec<String>,
    count: NonZeroU16,
}

impl StreamSet {
    pub(super) fn new(prefix: &str, count: NonZeroU16) -> Self {
        let keys = (0..count.get()).map(|number| stream_key(prefix, number)).collect();
        Self { prefix: prefix.to_owned(), keys, count }
    }

    /// The keys of the streams, by number.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The number of the stream that a message goes to.
    pub(super) fn number_for(&self, message: &str) -> usize {
        usize::from(stream_for(message, self.count))
    }

    /// The key of the hash that keeps the queue's history.
    pub(super) fn history_key(&self) -> String {
        history_key(&self.prefix)
    }

    /// The key that exists while a consumer lives.
    pub(super) fn alive_key(&self, consumer: &str) -> String {
        format!("{}:alive:{consumer}", self.prefix)
    }

    /// The name of a message.
    pub(super) fn message_key(&self, place: EntryLocation) -> MessageKey {
        let stream = self.keys.get(place.stream).map_or("", String::as_str);
        MessageKey::from(format!("{stream}/{}", place.id))
    }

    /// The place of a message; `None` when it cannot be in this queue.
    pub(super) fn place(&self, key: &MessageKey) -> Option<EntryLocation> {
        let (stream, id) = key.as_str().rsplit_once('/')?;
        let stream = self.keys.iter().position(|key| key == stream)?;
        Some(EntryLocation { stream, id: id.parse().ok()? })
    }

    /// The ids of messages by stream; names that cannot be in this queue are left out.
    pub(super) fn by_stream(&self, keys: &[MessageKey]) -> Vec<(usize, Vec<EntryId>)> {
        let mut places: Vec<_> = keys.iter().filter_map(|key| self.place(key)).collect();
        places.sort_unstable();
        places.dedup();
        places
            .chunk_by(|one, next| one.stream == next.stream)
            .filter_map(|places| {
                Some((places.first()?.stream, places.iter().map(|place| place.id).collect()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> MessageKey {
        MessageKey::from(text.to_owned())
    }

    #[test]
    fn a_message_is_found_by_its_name() {
        let streams = StreamSet::new("a/b", NonZeroU16::new(3).unwrap());
        let place = EntryLocation { stream: 2, id: "17-4".parse().unwrap() };
        assert_eq!(streams.message_key(place).as_str(), "a/b:{2}/17-4");
        assert_eq!(streams.place(&key("a/b:{2}/17-4")), Some(place));
        for foreign in ["", "1", "a/b:{3}/17-4", "b:{2}/17-4", "a/b:{2}/17", "a/b:{2}"] {
            assert_eq!(streams.place(&key(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn names_are_sorted_by_stream() {
        let streams = StreamSet::new("q", NonZeroU16::new(2).unwrap());
        let keys = ["q:{1}/2-0", "other", "q:{0}/3-0", "q:{1}/1-0", "q:{1}/2-0"].map(key);
        let ids = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<EntryId>>();
        assert_eq!(streams.by_stream(&keys), [(0, ids(&["3-0"])), (1, ids(&["1-0", "2-0"]))]);
    }
}
