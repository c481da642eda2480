//! Read-only access for reconciliation.

use async_trait::async_trait;
use redis::cmd;

use super::connection::RedisConnection;
use super::entry::{EntryId, StreamEntries};
use super::open::{self, RedisOpenError};
use super::streams::{EntryLocation, StreamSet};
use super::{RedisSettings, script};
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::queue::MessageKey;
use chargegate_storage::reconcile::{CountedQueue, QueueSnapshot};

/// Messages read by one command.
const SNAPSHOT_PAGE: usize = 1_000;

/// Reads a queue and changes nothing.
#[derive(Debug)]
pub struct RedisInspector {
    link: RedisConnection,
    streams: StreamSet,
}

impl RedisInspector {
    /// Connects to a queue, without its being prepared if it is new.
    ///
    /// # Errors
    /// [`RedisOpenError`] says what is in the way and what to do about it.
    pub async fn open(settings: &RedisSettings, effects: Effects) -> Result<Self, RedisOpenError> {
        let link = super::link(settings, effects)?;
        open::check(&link, settings).await?;
        let streams = StreamSet::new(&settings.prefix, settings.streams);
        open::check_types(&link, settings, &streams).await?;
        open::check_count(&link, settings, &streams).await?;
        Ok(Self { link, streams })
    }
}

#[async_trait]
impl CountedQueue for RedisInspector {
    async fn snapshot(&self) -> Result<QueueSnapshot, QueueError> {
        let mut call = script::SNAPSHOT.prepare_invoke();
        call.key(self.streams.history_key()).key(self.streams.keys());
        let (now, all, beat, at_beat): (u64, Vec<(u64, EntryId)>, u64, u64) = self.link.call(&call).await?;
        let mut snapshot = QueueSnapshot { enqueued: 0, heartbeat: (beat, at_beat), newest: Vec::new() };
        for (stream, (added, newest)) in all.into_iter().enumerate() {
            snapshot.enqueued = snapshot.enqueued.saturating_add(added);
            let id = newest.max(EntryId::before(now));
            snapshot.newest.push(self.streams.message_key(EntryLocation { stream, id }));
        }
        Ok(snapshot)
    }

    async fn waiting(&self, snapshot: &QueueSnapshot) -> Result<Vec<MessageKey>, QueueError> {
        let mut waiting = Vec::new();
        for EntryLocation { stream, id: newest } in
            snapshot.newest.iter().filter_map(|key| self.streams.place(key))
        {
            let Some(key) = self.streams.keys().get(stream) else { continue };
            let mut start = "-".to_owned();
            loop {
                let mut command = cmd("XRANGE");
                command.arg(key).arg(&start).arg(newest).arg("COUNT").arg(SNAPSHOT_PAGE);
                let StreamEntries(page) = self.link.run(&command).await?;
                waiting.extend(
                    page.iter().map(|entry| self.streams.message_key(EntryLocation { stream, id: entry.id })),
                );
                match page.last() {
                    Some(last) if page.len() == SNAPSHOT_PAGE => start = format!("({}", last.id),
                    _ => break,
                }
            }
        }
        Ok(waiting)
    }
}
