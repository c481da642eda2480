//! Exchange between leases, which ask for messages, and readers, which deliver them.
//!
//! A lease says how many messages it wants; what is wanted and not yet on its way is dealt out to the readers that
//! have nothing to do. A reader reads no more than it was dealt, so that no message leaves its stream that nobody
//! wants.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::CommandError;
use chargegate_storage::QueueError;
use chargegate_storage::queue::LeasedMessage;

/// How much longer than it may wait a lease stays for a reader that is just coming back.
const RECONNECT_GRACE: Duration = Duration::from_millis(250);
/// How long a reader that is not the only one waits for messages: its share of what is wanted may be of more use in
/// another stream.
const SHARED_READ_WAIT: Duration = Duration::from_millis(100);
/// How long it does while others have been dealt nothing.
const SHORT_READ_WAIT: Duration = Duration::from_millis(20);
const FAR_FUTURE: Duration = Duration::from_hours(24);

/// Demand that a reader serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadDemand {
    /// Messages at most.
    pub(super) count: usize,
    /// Deadline of the read; a deadline in the past means "do not block".
    pub(super) until: Instant,
}

/// Between the leases and the readers of a queue.
#[derive(Debug)]
pub(super) struct Prefetcher {
    state: Mutex<PrefetchState>,
    /// Told when a reader came back, or all is over.
    changed: Notify,
    /// Told, by reader, when it was dealt something.
    dealt: Box<[Notify]>,
}

#[derive(Debug)]
struct PrefetchState {
    closed: bool,
    /// Messages wanted by waiting leases.
    wanted: usize,
    /// Messages read and not yet leased.
    ready: VecDeque<LeasedMessage>,
    seats: Vec<ReaderState>,
    /// Reader that is assigned first.
    next: usize,
    /// Ticks since the last lease asked.
    quiet: u32,
}

#[derive(Debug)]
struct ReaderState {
    standing: ReaderStatus,
    /// Number of returns of this reader.
    returns: u64,
}

#[derive(Debug)]
enum ReaderStatus {
    Idle,
    Dealt(ReadDemand),
    Reading(usize),
    /// Without a connection, and why, if it ever had one.
    Down(Option<Arc<CommandError>>),
}

impl PrefetchState {
    /// Returns the number of messages that readers are reading for leases.
    fn in_progress(&self) -> usize {
        self.seats.iter().map(|seat| seat.standing.demand()).sum()
    }

    /// Assigns the demand to idle readers among `eligible`; returns them.
    fn assign(&mut self, until: Instant, eligible: impl Fn(usize, &ReaderState) -> bool) -> Vec<usize> {
        let mut free = self.wanted.saturating_sub(self.in_progress() + self.ready.len());
        let size = self.seats.len();
        let turn: Vec<usize> = (0..size)
            .map(|offset| (self.next + offset) % size)
            .filter(|at| {
                self.seats
                    .get(*at)
                    .is_some_and(|seat| matches!(seat.standing, ReaderStatus::Idle) && eligible(*at, seat))
            })
            .take(free)
            .collect();
        let idle = self.seats.iter().filter(|seat| matches!(seat.standing, ReaderStatus::Idle)).count();
        let now = Instant::now();
        let until = match size {
            1 => until,
            _ if turn.len() < idle => until.min(now + SHORT_READ_WAIT),
            _ => until.min(now + SHARED_READ_WAIT),
        };
        let mut left = turn.len();
        for at in &turn {
            let count = free.div_ceil(left);
            free -= count;
            left -= 1;
            if let Some(seat) = self.seats.get_mut(*at) {
                seat.standing = ReaderStatus::Dealt(ReadDemand { count, until });
            }
        }
        if let Some(last) = turn.last() {
            self.next = (last + 1) % size;
        }
        turn
    }

    fn seat(&mut self, reader: usize, standing: ReaderStatus) {
        if let Some(seat) = self.seats.get_mut(reader) {
            seat.standing = standing;
        }
    }

    /// Error of leases while no reader has a connection.
    fn failure(&self) -> Option<QueueError> {
        let mut last = None;
        for seat in &self.seats {
            match &seat.standing {
                ReaderStatus::Down(Some(error)) => last = Some(error),
                ReaderStatus::Down(None)
                | ReaderStatus::Idle
                | ReaderStatus::Dealt(_)
                | ReaderStatus::Reading(_) => {
                    return None;
                }
            }
        }
        last.map(|error| QueueError::Unavailable(Box::new(Arc::clone(error))))
    }
}

impl ReaderStatus {
    fn demand(&self) -> usize {
        match self {
            Self::Dealt(demand) => demand.count,
            Self::Reading(count) => *count,
            Self::Idle | Self::Down(_) => 0,
        }
    }
}

impl Prefetcher {
    /// Between any number of leases and `readers` readers, which are not there yet.
    pub(super) fn new(readers: usize) -> Self {
        let seats =
            (0..readers).map(|_| ReaderState { standing: ReaderStatus::Down(None), returns: 0 }).collect();
        let state =
            PrefetchState { closed: false, wanted: 0, ready: VecDeque::new(), seats, next: 0, quiet: 0 };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            dealt: (0..readers).map(|_| Notify::new()).collect(),
        }
    }

    /// Waits up to `wait` for the first of `max` messages; see [`chargegate_storage::queue::Queue::lease`].
    pub(super) async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        let now = Instant::now();
        let until = now.checked_add(wait).unwrap_or(now + FAR_FUTURE);
        let wanting = DemandGuard::new(self, max);
        let before = wanting.returns();
        loop {
            // Registered before looking, so that nobody comes back unseen in between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(end) = self.look(max, until, &before) {
                return end;
            }
            let wake = if Instant::now() < until { until } else { until + RECONNECT_GRACE };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// What a lease comes to, if it has come to something; else it has dealt out what it wants.
    fn look(
        &self,
        max: usize,
        until: Instant,
        before: &[u64],
    ) -> Option<Result<Vec<LeasedMessage>, QueueError>> {
        let mut state = self.lock();
        if state.closed {
            return Some(Err(QueueError::Closed));
        }
        let count = max.min(state.ready.len());
        if count > 0 || max == 0 {
            return Some(Ok(state.ready.drain(..count).collect()));
        }
        let now = Instant::now();
        let came_back =
            |at: usize, seat: &ReaderState| before.get(at).is_some_and(|before| seat.returns > *before);
        if now >= until {
            let all = state.seats.iter().enumerate().all(|(at, seat)| {
                came_back(at, seat) || matches!(seat.standing, ReaderStatus::Down(Some(_)))
            });
            if all || now >= until + RECONNECT_GRACE {
                return Some(state.failure().map_or_else(|| Ok(Vec::new()), Err));
            }
        }
        let dealt = if now < until {
            state.assign(until, |_, _| true)
        } else {
            // Every stream is looked into once, however short the wait.
            state.assign(now, |at, seat| !came_back(at, seat))
        };
        drop(state);
        for reader in dealt {
            if let Some(notify) = self.dealt.get(reader) {
                notify.notify_one();
            }
        }
        None
    }

    /// Waits until `reader` is dealt something.
    pub(super) async fn demand(&self, reader: usize) -> ReadDemand {
        let notify = self.dealt.get(reader);
        loop {
            {
                let mut state = self.lock();
                let standing = state.seats.get(reader).map(|seat| &seat.standing);
                if let Some(ReaderStatus::Dealt(demand)) = standing {
                    let demand = *demand;
                    state.seat(reader, ReaderStatus::Reading(demand.count));
                    return demand;
                }
            }
            match notify {
                Some(notify) => notify.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// A reader has a connection.
    pub(super) fn up(&self, reader: usize) {
        let mut state = self.lock();
        if state.seats.get(reader).is_some_and(|seat| matches!(seat.standing, ReaderStatus::Down(_))) {
            state.seat(reader, ReaderStatus::Idle);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// A reader has found nothing to read from, has mended that, and keeps no demand.
    pub(super) fn reset(&self, reader: usize) {
        self.lock().seat(reader, ReaderStatus::Idle);
        self.changed.notify_waiters();
    }

    /// A reader has failed, and keeps no demand.
    pub(super) fn down(&self, reader: usize, error: Arc<CommandError>) {
        self.lock().seat(reader, ReaderStatus::Down(Some(error)));
        self.changed.notify_waiters();
    }

    /// A reader is back with what it found.
    pub(super) fn deliver(&self, reader: usize, messages: Vec<LeasedMessage>) {
        let mut state = self.lock();
        state.ready.extend(messages);
        if let Some(seat) = state.seats.get_mut(reader) {
            seat.standing = ReaderStatus::Idle;
            seat.returns = seat.returns.saturating_add(1);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes out what no lease has come for since the tick before the last, this being the next one.
    pub(super) fn unclaimed(&self) -> Vec<LeasedMessage> {
        let mut state = self.lock();
        if state.wanted > 0 {
            state.quiet = 0;
        }
        state.quiet = state.quiet.saturating_add(1);
        if state.quiet > 2 { mem::take(&mut state.ready).into() } else { Vec::new() }
    }

    /// Ends every lease, and removes the messages read for them.
    pub(super) fn close(&self) -> Vec<LeasedMessage> {
        let mut state = self.lock();
        state.closed = true;
        let ready = mem::take(&mut state.ready);
        drop(state);
        self.changed.notify_waiters();
        ready.into()
    }

    /// Returns whether the prefetch is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, PrefetchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease's part of the demand, withdrawn when the lease ends or is dropped.
struct DemandGuard<'a> {
    prefetch: &'a Prefetcher,
    max: usize,
}

impl<'a> DemandGuard<'a> {
    fn new(prefetch: &'a Prefetcher, max: usize) -> Self {
        let mut state = prefetch.lock();
        state.wanted = state.wanted.saturating_add(max);
        state.quiet = 0;
        drop(state);
        Self { prefetch, max }
    }

    fn returns(&self) -> Vec<u64> {
        self.prefetch.lock().seats.iter().map(|seat| seat.returns).collect()
    }
}

impl Drop for DemandGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.prefetch.lock();
        state.wanted = state.wanted.saturating_sub(self.max);
    }
}

#[cfg(test)]
mod tests;
