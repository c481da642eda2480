//! Read access for reconciliation.

use async_trait::async_trait;
use redis::cmd;

use super::connection::RedisConnection;
use super::entry::{EntryId, StreamEntries};
use super::keys::RedisKeys;
use super::open::{self, RedisOpenError};
use super::{RedisSettings, script};
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::queue::MessageKey;
use chargegate_storage::reconcile::{CountedQueue, QueueSnapshot};

/// Maximum number of messages read by one command.
const PAGE_SIZE: usize = 1_000;

/// Read-only access to a queue.
#[derive(Debug)]
pub struct RedisInspector {
    connection: RedisConnection,
    keys: RedisKeys,
}

impl RedisInspector {
    /// Connects to a queue; creates nothing if it does not exist.
    ///
    /// # Errors
    /// [`RedisOpenError`].
    pub async fn open(settings: &RedisSettings, effects: Effects) -> Result<Self, RedisOpenError> {
        let connection = super::connect(settings, effects)?;
        open::check(&connection, settings).await?;
        let keys = RedisKeys::new(&settings.prefix);
        open::check_types(&connection, settings, &keys).await?;
        Ok(Self { connection, keys })
    }
}

#[async_trait]
impl CountedQueue for RedisInspector {
    async fn snapshot(&self) -> Result<QueueSnapshot, QueueError> {
        let mut call = script::SNAPSHOT.prepare_invoke();
        call.key(&self.keys.history).key(&self.keys.stream);
        let (now, enqueued, newest, beat, at_beat): (u64, u64, EntryId, u64, u64) =
            self.connection.call(&call).await?;
        let newest = self.keys.message_key(newest.max(EntryId::before(now)));
        Ok(QueueSnapshot { enqueued, heartbeat: (beat, at_beat), newest: vec![newest] })
    }

    async fn waiting(&self, snapshot: &QueueSnapshot) -> Result<Vec<MessageKey>, QueueError> {
        let mut waiting = Vec::new();
        for newest in snapshot.newest.iter().filter_map(|key| self.keys.entry_id(key)) {
            let mut start = "-".to_owned();
            loop {
                let mut command = cmd("XRANGE");
                command.arg(&self.keys.stream).arg(&start).arg(newest).arg("COUNT").arg(PAGE_SIZE);
                let StreamEntries(page) = self.connection.run(&command).await?;
                waiting.extend(page.iter().map(|entry| self.keys.message_key(entry.id)));
                match page.last() {
                    Some(last) if page.len() == PAGE_SIZE => start = format!("({}", last.id),
                    _ => break,
                }
            }
        }
        Ok(waiting)
    }
}
