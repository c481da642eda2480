//! Reclaiming stale pending entries: those of dead consumers, those that this consumer never received or whose ack was
//! lost, and those whose lease ended.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chargegate_core::full_jitter;
use chargegate_pull::engine::{InFlightMessages, ReceivedMessage};
use chargegate_redis_layout::STREAM_GROUP;
use redis::{Cmd, cmd, pipe};
use tokio::time::Instant;
use tracing::{debug, info};

use super::connection::CommandError;
use super::entry::{EntryId, StreamEntries, StreamEntry};
use super::script;
use super::source::{StreamReader, milliseconds};
use chargegate_storage::metric;

/// Bounds of the interval at which stale entries are reclaimed.
const MAX_RECLAIM_INTERVAL: Duration = Duration::from_secs(1);
const MIN_RECLAIM_INTERVAL: Duration = Duration::from_millis(50);
/// Interval at which dead consumers are deleted.
const CONSUMER_CLEANUP_INTERVAL: Duration = Duration::from_mins(1);
/// Maximum number of entries claimed by one command.
const CLAIM_BATCH: usize = 256;
/// Consumer that owns released entries. It sends no heartbeat, so that every worker claims them at once.
pub(super) const RELEASED_CONSUMER: &str = "released";

/// A pending entry: its id, its consumer, the milliseconds since its delivery, and the number of its deliveries.
type PendingEntry = (EntryId, Vec<u8>, u64, u32);
/// Number of pending entries, their lowest and highest id, and the number of each consumer.
type PendingSummary = (u64, Option<EntryId>, Option<EntryId>, Option<Vec<(String, usize)>>);

/// Time of the next reclaim.
#[derive(Debug, Default)]
pub(super) struct ReclaimSchedule {
    /// Connection over which entries were reclaimed last.
    pub(super) generation: u64,
    pub(super) next_reclaim: Option<Instant>,
    next_cleanup: Option<Instant>,
}

/// Reason for which an entry was reclaimed.
#[derive(Clone, Copy, Debug)]
enum ReclaimReason {
    /// Its consumer is dead, or released it.
    Abandoned,
    /// It was delivered to this consumer, and the delivery or the ack was lost.
    LostReply,
    /// It was in flight for longer than a lease.
    LeaseEnded,
}

impl ReclaimReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::LostReply => "lost_reply",
            Self::LeaseEnded => "lease_ended",
        }
    }
}

/// One pass over the pending entries.
struct ReclaimPass<'a> {
    reader: &'a StreamReader,
    in_flight: &'a InFlightMessages,
    /// Maximum number of messages.
    max: usize,
    reclaimed: Vec<ReceivedMessage>,
}

impl StreamReader {
    /// Reclaims up to `max` messages if a pass is due: periodically, on a new connection, and after a release.
    pub(super) async fn reclaim_due(
        &mut self,
        max: usize,
        generation: u64,
        in_flight: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, CommandError> {
        let now = Instant::now();
        let reconnected = generation != self.schedule.generation;
        let released = self.state.reclaim_now.swap(false, Ordering::Relaxed);
        if !reconnected && !released && self.schedule.next_reclaim.is_some_and(|next| now < next) {
            return Ok(Vec::new());
        }
        let mut pass = ReclaimPass { reader: self, in_flight, max, reclaimed: Vec::new() };
        let result = pass.run(reconnected).await;
        let reclaimed = pass.reclaimed;
        let result = match result {
            Ok(()) => self.delete_dead_consumers().await,
            failed => failed,
        };
        if let Err(error) = result {
            self.state.reclaim_now.fetch_or(released, Ordering::Relaxed);
            if reclaimed.is_empty() {
                return Err(error);
            }
            // Claimed messages are leased and must be delivered. The next read starts another pass.
            debug!(stream = self.state.keys.stream, error = %error, "could not reclaim all stale entries");
            return Ok(reclaimed);
        }
        self.schedule.generation = generation;
        // Where the demand was the limit, there may be more.
        self.schedule.next_reclaim =
            Some(if reclaimed.len() < max { now + self.reclaim_pause() } else { now });
        Ok(reclaimed)
    }

    /// Returns between three quarters of the interval and all of it, so that workers do not run in step.
    fn reclaim_pause(&self) -> Duration {
        let interval =
            (self.state.settings.message_lease / 4).clamp(MIN_RECLAIM_INTERVAL, MAX_RECLAIM_INTERVAL);
        interval * 3 / 4 + self.jitter(interval / 4)
    }

    fn jitter(&self, bound: Duration) -> Duration {
        full_jitter(bound, 0, bound, self.state.effects.random.jitter())
    }

    /// Deletes dead consumers without pending entries, now and then.
    async fn delete_dead_consumers(&mut self) -> Result<(), CommandError> {
        let now = Instant::now();
        if self.schedule.next_cleanup.is_some_and(|cleanup| now < cleanup) {
            return Ok(());
        }
        self.schedule.next_cleanup =
            Some(now + CONSUMER_CLEANUP_INTERVAL + self.jitter(CONSUMER_CLEANUP_INTERVAL));
        let stream = &self.state.keys.stream;
        let mut call = script::DELETE_DEAD_CONSUMERS.key(stream);
        call.arg(STREAM_GROUP).arg(self.state.keys.heartbeat(""));
        let deleted: u64 = self.connection.call(&call).await?;
        if deleted > 0 {
            info!(stream, consumers = deleted, "deleted dead consumers");
        }
        Ok(())
    }
}

impl ReclaimPass<'_> {
    async fn run(&mut self, reconnected: bool) -> Result<(), CommandError> {
        let reader = self.reader;
        let (_, _, _, consumers): PendingSummary =
            reader.connection.run(cmd("XPENDING").arg(&reader.state.keys.stream).arg(STREAM_GROUP)).await?;
        let mut others = Vec::new();
        for (name, pending) in consumers.unwrap_or_default() {
            if name != reader.state.consumer.name {
                others.push(name);
            } else if reconnected || pending > self.in_flight.len() {
                self.recover_own_pending().await?;
            }
        }
        for name in self.dead_consumers(others).await? {
            self.claim_stale(&name).await?;
        }
        self.claim_expired().await
    }

    /// Returns the consumers without a heartbeat.
    async fn dead_consumers(&self, names: Vec<String>) -> Result<Vec<String>, CommandError> {
        if names.is_empty() {
            return Ok(names);
        }
        let mut command = pipe();
        for name in &names {
            command.exists(self.reader.state.keys.heartbeat(name));
        }
        let alive: Vec<bool> = self.reader.connection.run_all(&command).await?;
        Ok(names.into_iter().zip(alive).filter(|(_, alive)| !alive).map(|(name, _)| name).collect())
    }

    /// Recovers entries that are pending for this consumer and not in flight: the reply of a read was lost, or an ack.
    async fn recover_own_pending(&mut self) -> Result<(), CommandError> {
        let consumer = &self.reader.state.consumer.name;
        let (keys, in_flight) = (&self.reader.state.keys, self.in_flight);
        let is_known = |id| in_flight.contains(&keys.message_key(id));
        let lost = self.pending(|all| all.arg("-").arg("+"), Some(consumer), is_known).await?;
        self.claim(consumer, None, lost, ReclaimReason::LostReply).await.map(drop)
    }

    /// Claims the entries of a dead consumer in batches.
    async fn claim_stale(&mut self, consumer: &str) -> Result<(), CommandError> {
        let heartbeat = self.reader.state.keys.heartbeat(consumer);
        let (keys, in_flight) = (&self.reader.state.keys, self.in_flight);
        // A released entry has no holder, even while its release is being completed here.
        let is_known = |id| consumer != RELEASED_CONSUMER && in_flight.is_leased(&keys.message_key(id));
        while self.reclaimed.len() < self.max {
            let stale = self.pending(|all| all.arg("-").arg("+"), Some(consumer), is_known).await?;
            // Entries that another worker claimed meanwhile are not among the claimed.
            if stale.is_empty()
                || self.claim(consumer, Some(&heartbeat), stale, ReclaimReason::Abandoned).await? == 0
            {
                break;
            }
        }
        Ok(())
    }

    /// Claims entries that were in flight at any consumer for longer than a lease, except those of this worker whose
    /// lease was renewed.
    async fn claim_expired(&mut self) -> Result<(), CommandError> {
        let state = &self.reader.state;
        let lease = milliseconds(state.settings.message_lease);
        let (keys, in_flight) = (&state.keys, self.in_flight);
        let is_known = |id| in_flight.is_leased(&keys.message_key(id));
        let expired =
            self.pending(|all| all.arg("IDLE").arg(lease).arg("-").arg("+"), None, is_known).await?;
        if expired.is_empty() {
            return Ok(());
        }
        let mut command = cmd("XCLAIM");
        command.arg(&keys.stream).arg(STREAM_GROUP).arg(&state.consumer.name);
        // The first claimer resets the idle time, so that later claims find nothing.
        command.arg(lease).arg(expired.keys().collect::<Vec<_>>());
        let StreamEntries(entries) = self.reader.connection.run(&command).await?;
        self.accept(entries, &expired, ReclaimReason::LeaseEnded);
        Ok(())
    }

    /// Returns pending entries of `consumer`, or of any, in the range that `range` appends, without those that
    /// `is_known`; with their deliveries so far.
    async fn pending(
        &self,
        range: impl FnOnce(&mut Cmd) -> &mut Cmd,
        consumer: Option<&str>,
        is_known: impl Fn(EntryId) -> bool,
    ) -> Result<BTreeMap<EntryId, u32>, CommandError> {
        let limit = self.max.saturating_sub(self.reclaimed.len()).min(CLAIM_BATCH);
        if limit == 0 {
            return Ok(BTreeMap::new());
        }
        let mut command = cmd("XPENDING");
        command.arg(&self.reader.state.keys.stream).arg(STREAM_GROUP);
        // Messages in flight may precede the entries that are looked for.
        range(&mut command).arg(limit + self.in_flight.len()).arg(consumer);
        let pending: Vec<PendingEntry> = self.reader.connection.run(&command).await?;
        let unknown = pending.into_iter().filter(|(id, ..)| !is_known(*id));
        Ok(unknown.take(limit).map(|(id, _, _, deliveries)| (id, deliveries)).collect())
    }

    /// Claims the entries that still belong to `from`, unless the key `heartbeat` says that `from` is alive after all.
    /// Returns the number of claimed entries.
    async fn claim(
        &mut self,
        from: &str,
        heartbeat: Option<&str>,
        ids: BTreeMap<EntryId, u32>,
        reason: ReclaimReason,
    ) -> Result<usize, CommandError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let state = &self.reader.state;
        let mut call = script::CLAIM.key(&state.keys.stream);
        if let Some(heartbeat) = heartbeat {
            call.key(heartbeat);
        }
        call.arg(STREAM_GROUP).arg(from).arg(&state.consumer.name).arg(ids.keys().collect::<Vec<_>>());
        let StreamEntries(entries) = self.reader.connection.call(&call).await?;
        let claimed = entries.len();
        self.accept(entries, &ids, reason);
        Ok(claimed)
    }

    fn accept(
        &mut self,
        entries: Vec<StreamEntry>,
        deliveries: &BTreeMap<EntryId, u32>,
        reason: ReclaimReason,
    ) {
        if entries.is_empty() {
            return;
        }
        let stream = &self.reader.state.keys.stream;
        debug!(stream, reason = reason.as_str(), messages = entries.len(), "reclaimed stale messages");
        metric::queue_taken_over(reason.as_str(), entries.len());
        for entry in entries {
            let before = deliveries.get(&entry.id).copied().unwrap_or_default();
            self.reclaimed.push(self.reader.received(entry, before.saturating_add(1)));
        }
    }
}
