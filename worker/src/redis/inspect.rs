//! What reconciling reads.

use redis::cmd;

use super::connection::Link;
use super::entry::{Entries, EntryId};
use super::open::{self, OpenError};
use super::streams::{Place, Streams};
use super::{Settings, script};
use crate::effects::Effects;
use crate::error::EngineError;
use crate::queue::MessageKey;

/// Messages read by one command.
const PAGE: usize = 1_000;

/// Reads a queue and changes nothing.
#[derive(Debug)]
pub struct Inspector {
    link: Link,
    streams: Streams,
}

/// A queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Messages ever enqueued, by the server's own counters.
    pub enqueued: u64,
    /// The latest beat it knows, and its counter at that beat: see [`crate::Observation`].
    pub kept: (u64, u64),
    /// By stream, a bound between the messages it had and those it takes later, of the form of a message's key: also
    /// where a stream is empty, or has forgotten newer messages than it has.
    pub newest: Vec<MessageKey>,
}

impl Inspector {
    /// Connects to a queue, without its being prepared if it is new.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way and what to do about it.
    pub async fn open(settings: &Settings, effects: Effects) -> Result<Self, OpenError> {
        let link = super::link(settings, effects)?;
        open::check(&link, settings).await?;
        let streams = Streams::new(&settings.prefix, settings.streams);
        open::check_types(&link, settings, &streams).await?;
        open::check_count(&link, settings, &streams).await?;
        Ok(Self { link, streams })
    }

    /// All streams at one moment.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn snapshot(&self) -> Result<Snapshot, EngineError> {
        let mut call = script::SNAPSHOT.prepare_invoke();
        call.key(self.streams.history_key()).key(self.streams.keys());
        let (now, all, beat, at_beat): (u64, Vec<(u64, EntryId)>, u64, u64) = self.link.call(&call).await?;
        let mut snapshot = Snapshot { enqueued: 0, kept: (beat, at_beat), newest: Vec::new() };
        for (stream, (added, newest)) in all.into_iter().enumerate() {
            snapshot.enqueued = snapshot.enqueued.saturating_add(added);
            let id = newest.max(EntryId::before(now));
            snapshot.newest.push(self.streams.message_key(Place { stream, id }));
        }
        Ok(snapshot)
    }

    /// What still waits of a snapshot's messages, leased ones included.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn waiting(&self, snapshot: &Snapshot) -> Result<Vec<MessageKey>, EngineError> {
        let mut waiting = Vec::new();
        for Place { stream, id: newest } in snapshot.newest.iter().filter_map(|key| self.streams.place(key)) {
            let Some(key) = self.streams.keys().get(stream) else { continue };
            let mut start = "-".to_owned();
            loop {
                let mut command = cmd("XRANGE");
                command.arg(key).arg(&start).arg(newest).arg("COUNT").arg(PAGE);
                let Entries(page) = self.link.run(&command).await?;
                waiting.extend(
                    page.iter().map(|entry| self.streams.message_key(Place { stream, id: entry.id })),
                );
                match page.last() {
                    Some(last) if page.len() == PAGE => start = format!("({}", last.id),
                    _ => break,
                }
            }
        }
        Ok(waiting)
    }
}
