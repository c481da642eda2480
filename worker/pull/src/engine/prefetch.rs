//! The meeting point of leases and receive calls.
//!
//! A lease states how many messages it asks for, and calls receive no more than is asked for and not yet under way: no
//! message leaves the queue that has no place here. Calls ask for full batches as long as enough capacity for one may
//! soon become free.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pacing::ReceivePacing;
use super::service::{IdlePolicy, PullServiceError, PullSettings};
use chargegate_storage::QueueError;
use chargegate_storage::queue::LeasedMessage;

/// Time that a lease waits beyond its own wait for a call that is about to return.
const CALL_RETURN_TIMEOUT: Duration = Duration::from_millis(500);
/// Wait that stands for "for ever".
const MAX_WAIT: Duration = Duration::from_hours(24);
/// Number of ticks without a lease after which received messages are released.
const UNCLAIMED_TICKS: u32 = 2;

/// Connects the leases with the calls to the service.
#[derive(Debug)]
pub(super) struct Prefetcher {
    settings: PullSettings,
    state: Mutex<PrefetchState>,
    /// Notified when messages arrived, or a lease may end for another reason.
    changed: Notify,
    /// Notified when a call may be due.
    demand: Notify,
}

#[derive(Debug)]
struct PrefetchState {
    closed: bool,
    /// Messages that waiting leases ask for.
    wanted: usize,
    /// Maximum of `wanted` so far, hence of the capacity of those who lease.
    most_wanted: usize,
    /// End of the longest wait of a lease.
    until: Instant,
    /// Number of calls begun before the newest lease.
    begun_before_lease: u64,
    /// Messages that were received and not yet leased.
    ready: VecDeque<LeasedMessage>,
    /// Messages that the calls under way ask for.
    under_way: usize,
    calls: usize,
    /// Number of calls begun so far.
    begun: u64,
    pacing: ReceivePacing,
    /// Reason for which no messages can be received, if any.
    failure: Option<PullServiceError>,
    /// Since when too little is asked for to fill a batch.
    short_since: Option<Instant>,
    /// Messages acked or released since the last call began: capacity that waiting leases do not ask for yet.
    freed: usize,
    /// Number of times that waiting leases were asked to return, so that they ask again with all their capacity.
    recalls: u64,
    /// Set when they were asked to since the last call began.
    recalled: bool,
    /// Ticks since the last lease.
    quiet_ticks: u32,
}

/// The next action of the receiving task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrefetchStep {
    /// Ask for `count` messages, and let the service wait for the first one.
    Receive { count: usize, wait: Duration },
    /// Do nothing until then, or until notified.
    Sleep(Option<Instant>),
}

impl Prefetcher {
    pub(super) fn new(settings: PullSettings) -> Self {
        let state = PrefetchState {
            closed: false,
            wanted: 0,
            most_wanted: 0,
            until: Instant::now(),
            begun_before_lease: 0,
            ready: VecDeque::new(),
            under_way: 0,
            calls: 0,
            begun: 0,
            pacing: ReceivePacing::new(settings),
            failure: None,
            short_since: None,
            freed: 0,
            recalls: 0,
            recalled: false,
            quiet_ticks: 0,
        };
        Self { settings, state: Mutex::new(state), changed: Notify::new(), demand: Notify::new() }
    }

    /// Waits up to `wait` for the first of `max` messages; see [`chargegate_storage::queue::Queue::lease`]. Returns
    /// early, with none, when the caller has capacity for more by now than it asked for.
    pub(super) async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        let now = Instant::now();
        let until = now.checked_add(wait).unwrap_or(now + MAX_WAIT);
        let demand = DemandGuard::new(self, max, until);
        loop {
            // Registered before the check, so that no change is missed in between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(result) = self.poll_lease(&demand, until) {
                return result;
            }
            let wake = if Instant::now() < until { until } else { until + CALL_RETURN_TIMEOUT };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Returns the result of a lease, once it has one.
    fn poll_lease(
        &self,
        demand: &DemandGuard<'_>,
        until: Instant,
    ) -> Option<Result<Vec<LeasedMessage>, QueueError>> {
        let mut state = self.state.lock();
        if state.closed {
            return Some(Err(QueueError::Closed));
        }
        let count = demand.max.min(state.ready.len());
        if count > 0 || demand.max == 0 {
            return Some(Ok(state.ready.drain(..count).collect()));
        }
        if state.recalls > demand.recalls {
            return Some(Ok(Vec::new()));
        }
        let now = Instant::now();
        if now < until {
            return None;
        }
        // A lease with zero wait still triggers one call if pacing allows.
        let call_made = state.begun > demand.begun || state.pacing.not_before() > now;
        if now < until + CALL_RETURN_TIMEOUT && (state.calls > 0 || !call_made) {
            return None;
        }
        Some(state.failure.clone().map_or_else(|| Ok(Vec::new()), |failure| Err(failure.into())))
    }

    /// Returns the next action, where `in_flight` messages are in flight. A receive counts as begun.
    pub(super) fn next_step(&self, in_flight: usize) -> PrefetchStep {
        let mut state = self.state.lock();
        let (now, free) = (Instant::now(), state.unmet_demand());
        if state.closed || free == 0 || state.calls >= state.pacing.max_calls() {
            return PrefetchStep::Sleep(None);
        }
        if state.pacing.not_before() > now {
            return PrefetchStep::Sleep(Some(state.pacing.not_before()));
        }
        let demanded = state.until.saturating_duration_since(now);
        let blocks = matches!(self.settings.idle, IdlePolicy::Block(_));
        if blocks && demanded.is_zero() && state.begun > state.begun_before_lease {
            // The waiting leases are over and about to return. A call for them would not wait, and neither would the
            // next one.
            return PrefetchStep::Sleep(None);
        }
        let fills_a_batch = free >= self.settings.receive_batch.min(state.most_wanted);
        if !self.settings.linger.is_zero() && !fills_a_batch && in_flight > 0 {
            // Messages in flight, or those that a call brings, will free capacity for more.
            if state.calls > 0 {
                return PrefetchStep::Sleep(None);
            }
            let end = *state.short_since.get_or_insert(now) + self.settings.linger;
            if now < end {
                return PrefetchStep::Sleep(Some(end));
            }
            if state.freed > 0 && !state.recalled {
                state.recalled = true;
                state.recalls += 1;
                drop(state);
                self.changed.notify_waiters();
                return PrefetchStep::Sleep(None);
            }
        }
        let count = free.min(self.settings.receive_batch);
        let wait = match self.settings.idle {
            IdlePolicy::Pause(_) => Duration::ZERO,
            IdlePolicy::LongPoll(longest) => demanded.max(state.pacing.min_wait()).min(longest),
            IdlePolicy::Block(longest) => demanded.min(longest),
        };
        state.under_way += count;
        state.calls += 1;
        state.begun += 1;
        (state.short_since, state.freed, state.recalled) = (None, 0, false);
        PrefetchStep::Receive { count, wait }
    }

    /// Waits until the next step may have changed.
    pub(super) async fn demand_changed(&self) {
        self.demand.notified().await;
    }

    /// Accepts the result of a call begun at `begun` for `asked` messages: it received `got`, of which `messages` are
    /// to be handed out.
    pub(super) fn deliver(&self, asked: usize, got: usize, begun: Instant, messages: Vec<LeasedMessage>) {
        let mut state = self.state.lock();
        state.end_call(asked);
        state.failure = None;
        state.pacing.note_received(asked, got, begun);
        state.ready.extend(messages);
        drop(state);
        self.notify();
    }

    /// Accepts the failure of a call for `asked` messages; none is made before `until`.
    pub(super) fn fail(&self, asked: usize, error: PullServiceError, until: Instant) {
        self.state.lock().end_call(asked);
        self.hold_off(error, until);
    }

    /// Prevents calls until `until`, because of an error.
    pub(super) fn hold_off(&self, error: PullServiceError, until: Instant) {
        let mut state = self.state.lock();
        state.failure = Some(error);
        state.pacing.hold_off(until);
        drop(state);
        self.notify();
    }

    /// Notes that `count` messages are not in flight any more.
    pub(super) fn note_freed(&self, count: usize) {
        let mut state = self.state.lock();
        state.freed = state.freed.saturating_add(count);
        drop(state);
        self.demand.notify_one();
    }

    /// Counts a tick, and removes the received messages that no lease has claimed for more than two ticks.
    pub(super) fn take_unclaimed(&self) -> Vec<LeasedMessage> {
        let mut state = self.state.lock();
        if state.wanted > 0 {
            state.quiet_ticks = 0;
        }
        state.quiet_ticks = state.quiet_ticks.saturating_add(1);
        if state.quiet_ticks > UNCLAIMED_TICKS { mem::take(&mut state.ready).into() } else { Vec::new() }
    }

    /// Ends every lease with [`QueueError::Closed`].
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.notify();
    }

    /// Removes the messages that were received and not leased.
    pub(super) fn take_prefetched(&self) -> Vec<LeasedMessage> {
        mem::take(&mut self.state.lock().ready).into()
    }

    /// Returns whether [`close`](Self::close) was called.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn notify(&self) {
        self.changed.notify_waiters();
        self.demand.notify_one();
    }
}

impl PrefetchState {
    /// Returns the number of messages that are asked for and not under way.
    fn unmet_demand(&self) -> usize {
        self.wanted.saturating_sub(self.under_way + self.ready.len())
    }

    fn end_call(&mut self, asked: usize) {
        self.under_way = self.under_way.saturating_sub(asked);
        self.calls = self.calls.saturating_sub(1);
    }
}

/// The demand of one lease, withdrawn when it ends or is dropped.
struct DemandGuard<'a> {
    prefetcher: &'a Prefetcher,
    max: usize,
    /// Number of calls begun before the lease.
    begun: u64,
    /// Number of recalls before the lease.
    recalls: u64,
}

impl<'a> DemandGuard<'a> {
    fn new(prefetcher: &'a Prefetcher, max: usize, until: Instant) -> Self {
        let mut state = prefetcher.state.lock();
        state.wanted = state.wanted.saturating_add(max);
        state.most_wanted = state.most_wanted.max(state.wanted);
        state.until = state.until.max(until);
        state.begun_before_lease = state.begun;
        state.quiet_ticks = 0;
        let (begun, recalls) = (state.begun, state.recalls);
        drop(state);
        prefetcher.demand.notify_one();
        Self { prefetcher, max, begun, recalls }
    }
}

impl Drop for DemandGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.prefetcher.state.lock();
        state.wanted = state.wanted.saturating_sub(self.max);
    }
}

#[cfg(test)]
mod tests;
