//! Reclaims stale entries: of dead workers, of this worker, and of workers that took too long.

use std::collections::BTreeMap;
use std::time::Duration;

use chargegate_core::full_jitter;
use chargegate_redis_layout::STREAM_GROUP;
use redis::{Cmd, cmd, pipe};
use tokio::time::Instant;
use tracing::{debug, info};

use super::connection::CommandError;
use super::entry::{EntryId, StreamEntries, StreamEntry};
use super::reader::StreamReader;
use super::script;
use chargegate_storage::metric;
use chargegate_storage::queue::LeasedMessage;

/// Shortest and longest interval between searches for stale entries.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(1);
const MIN_RECLAIM_INTERVAL: Duration = Duration::from_millis(50);
/// Interval at which consumers of dead workers are deleted.
const CONSUMER_CLEANUP_INTERVAL: Duration = Duration::from_mins(1);
/// Entries taken over by one command.
const PENDING_PAGE: usize = 256;
/// The consumer that holds what was handed back. It never lives, so that everybody takes over from it at once.
pub(super) const RELEASED_CONSUMER: &str = "released";

/// An entry that was delivered and not acknowledged: its id, whose it is, for how many milliseconds it has been, and how
/// often it was delivered.
type PendingEntry = (EntryId, Vec<u8>, u64, u32);
/// Pending entries: number, lowest and highest id, and number by consumer.
type PendingSummary = (u64, Option<EntryId>, Option<EntryId>, Option<Vec<(String, usize)>>);

/// Cause of reclaiming an entry.
#[derive(Clone, Copy, Debug)]
enum ReclaimCause {
    /// Its holder is gone, or handed it back.
    Abandoned,
    /// Ours by the server's account, and never seen, or never acknowledged.
    LostReply,
    /// Held for longer than a lease.
    LeaseEnded,
}

impl ReclaimCause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::LostReply => "lost_reply",
            Self::LeaseEnded => "lease_ended",
        }
    }
}

impl StreamReader {
    /// Takes up to `room` messages that were left behind, when it is time to look.
    pub(super) async fn reclaim(
        &mut self,
        room: usize,
        generation: u64,
    ) -> Result<Vec<LeasedMessage>, CommandError> {
        let now = Instant::now();
        let connected = generation != self.schedule.generation;
        let asked = self.shared.take_hint(self.stream);
        if !connected && !asked && self.schedule.next_look.is_some_and(|look| now < look) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        if let Err(error) = self.look(room, connected, &mut found).await {
            if found.is_empty() {
                return Err(error);
            }
            // Entries found so far are leased and must be delivered. The next turn searches again.
            debug!(stream = self.key, error = %error, "could not look for everything left behind");
            return Ok(found);
        }
        self.schedule.generation = generation;
        // Where the demand was the limit, there may be more.
        self.schedule.next_look = Some(if found.len() < room { now + self.pause() } else { now });
        Ok(found)
    }

    /// Between three quarters of the interval and all of it, so that workers do not look in step.
    fn pause(&self) -> Duration {
        let every = (self.shared.settings.message_lease / 4).clamp(MIN_RECLAIM_INTERVAL, RECLAIM_INTERVAL);
        every * 3 / 4 + self.jitter(every / 4)
    }

    fn jitter(&self, bound: Duration) -> Duration {
        full_jitter(bound, 0, bound, self.shared.effects.random.jitter())
    }

    async fn look(
        &mut self,
        room: usize,
        connected: bool,
        found: &mut Vec<LeasedMessage>,
    ) -> Result<(), CommandError> {
        let (_, _, _, parts): PendingSummary =
            self.link.run(cmd("XPENDING").arg(&self.key).arg(STREAM_GROUP)).await?;
        let mut others = Vec::new();
        for (name, pending) in parts.unwrap_or_default() {
            if name != self.shared.consumer.name {
                others.push(name);
            } else if connected || pending > self.shared.in_flight.count(self.stream) {
                self.recover_own_pending(room, found).await?;
            }
        }
        for name in self.gone(others).await? {
            self.claim_stale(&name, room, found).await?;
        }
        self.claim_expired(room, found).await?;
        self.tidy().await
    }

    /// The consumers that no longer say that they live.
    async fn gone(&self, names: Vec<String>) -> Result<Vec<String>, CommandError> {
        if names.is_empty() {
            return Ok(names);
        }
        let mut question = pipe();
        for name in &names {
            question.exists(self.shared.streams.alive_key(name));
        }
        let alive: Vec<bool> = self.link.run_all(&question).await?;
        Ok(names.into_iter().zip(alive).filter(|(_, alive)| !alive).map(|(name, _)| name).collect())
    }

    /// Takes what is ours by the server's account and not in our hands: the answer of a read was lost, or an
    /// acknowledgement.
    async fn recover_own_pending(
        &self,
        room: usize,
        found: &mut Vec<LeasedMessage>,
    ) -> Result<(), CommandError> {
        let me = &self.shared.consumer.name;
        let lost = self.pending(room, found, |all| all.arg("-").arg("+"), Some(me)).await?;
        self.claim(me, None, lost, ReclaimCause::LostReply, found).await.map(drop)
    }

    /// Takes from a consumer that is gone, step by step.
    async fn claim_stale(
        &self,
        name: &str,
        room: usize,
        found: &mut Vec<LeasedMessage>,
    ) -> Result<(), CommandError> {
        let alive = self.shared.streams.alive_key(name);
        while found.len() < room {
            let left = self.pending(room, found, |all| all.arg("-").arg("+"), Some(name)).await?;
            // Entries that another worker claimed meanwhile are not returned.
            if left.is_empty()
                || self.claim(name, Some(&alive), left, ReclaimCause::Abandoned, found).await? == 0
            {
                break;
            }
        }
        Ok(())
    }

    /// Takes what anybody has held for longer than a lease, unless it is in our own hands.
    async fn claim_expired(&self, room: usize, found: &mut Vec<LeasedMessage>) -> Result<(), CommandError> {
        let lease = milliseconds(self.shared.settings.message_lease);
        let overdue =
            self.pending(room, found, |all| all.arg("IDLE").arg(lease).arg("-").arg("+"), None).await?;
        if overdue.is_empty() {
            return Ok(());
        }
        let mut command = cmd("XCLAIM");
        command.arg(&self.key).arg(STREAM_GROUP).arg(&self.shared.consumer.name);
        // Who is first has made it young again.
        command.arg(lease).arg(overdue.keys().collect::<Vec<_>>());
        let StreamEntries(entries) = self.link.run(&command).await?;
        self.track_all(entries, &overdue, ReclaimCause::LeaseEnded, found);
        Ok(())
    }

    /// Entries that are pending for `consumer`, or anybody, in the range that `range` writes, and that we do not hold;
    /// with their deliveries so far.
    async fn pending(
        &self,
        room: usize,
        found: &[LeasedMessage],
        range: impl FnOnce(&mut Cmd) -> &mut Cmd,
        consumer: Option<&str>,
    ) -> Result<BTreeMap<EntryId, u32>, CommandError> {
        let room = room.saturating_sub(found.len()).min(PENDING_PAGE);
        if room == 0 {
            return Ok(BTreeMap::new());
        }
        let mut command = cmd("XPENDING");
        command.arg(&self.key).arg(STREAM_GROUP);
        // What we hold may stand before what we look for.
        range(&mut command).arg(room + self.shared.in_flight.count(self.stream)).arg(consumer);
        let pending: Vec<PendingEntry> = self.link.run(&command).await?;
        Ok(pending
            .into_iter()
            .filter(|(id, ..)| !self.shared.in_flight.contains(self.stream, *id))
            .take(room)
            .map(|(id, _, _, deliveries)| (id, deliveries))
            .collect())
    }

    /// Makes entries ours that are still `from`'s, if a key `alive` does not say that this one lives after all. Says how
    /// many that were.
    async fn claim(
        &self,
        from: &str,
        alive: Option<&str>,
        ids: BTreeMap<EntryId, u32>,
        cause: ReclaimCause,
        found: &mut Vec<LeasedMessage>,
    ) -> Result<usize, CommandError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut call = script::CLAIM.key(&self.key);
        if let Some(alive) = alive {
            call.key(alive);
        }
        call.arg(STREAM_GROUP).arg(from).arg(&self.shared.consumer.name).arg(ids.keys().collect::<Vec<_>>());
        let StreamEntries(entries) = self.link.call(&call).await?;
        let claimed = entries.len();
        self.track_all(entries, &ids, cause, found);
        Ok(claimed)
    }

    fn track_all(
        &self,
        entries: Vec<StreamEntry>,
        deliveries: &BTreeMap<EntryId, u32>,
        cause: ReclaimCause,
        found: &mut Vec<LeasedMessage>,
    ) {
        if entries.is_empty() {
            return;
        }
        debug!(stream = self.key, cause = cause.as_str(), messages = entries.len(), "took over messages");
        metric::queue_taken_over(cause.as_str(), entries.len());
        for entry in entries {
            let before = deliveries.get(&entry.id).copied().unwrap_or_default();
            found.extend(self.hold(entry, before.saturating_add(1)));
        }
    }

    /// Deletes consumers that are gone and left nothing behind, now and then.
    async fn tidy(&mut self) -> Result<(), CommandError> {
        let now = Instant::now();
        if self.schedule.next_tidying.is_some_and(|tidying| now < tidying) {
            return Ok(());
        }
        self.schedule.next_tidying =
            Some(now + CONSUMER_CLEANUP_INTERVAL + self.jitter(CONSUMER_CLEANUP_INTERVAL));
        let mut call = script::DELETE_IDLE_CONSUMERS.key(&self.key);
        call.arg(STREAM_GROUP).arg(self.shared.streams.alive_key(""));
        let deleted: u64 = self.link.call(&call).await?;
        if deleted > 0 {
            info!(stream = self.key, consumers = deleted, "deleted consumers that are gone");
        }
        Ok(())
    }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
