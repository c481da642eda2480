//! The calls that this worker may have in flight: its share of the fleet's budget, and the requests that wait for it.
//!
//! A slot is in use from the begin of a call until its end. A call that timed out or was cut keeps its slot for the
//! time-out of a call, because the service may still work on it.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{
    AclQueue, AclShare, AclTicket, AclWorkerId, CallAllowance, CallEnd, CallSums, DecisionStatus,
    MAX_ACL_PAUSE, ShareRenewal,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::authorizer::AclCallError;
use crate::metric;

/// The gate before the authorization service; clones share it.
#[derive(Clone)]
pub(crate) struct AclGate {
    shared: Arc<GateShared>,
}

struct GateShared {
    state: Mutex<GateState>,
    /// The longest time-out of a call, and the time for which the service may work on it beyond its time-out.
    call_timeout: Duration,
    started: Instant,
    renewal_due: Notify,
    leasing: watch::Sender<bool>,
}

struct GateState {
    slots: u32,
    allowance: CallAllowance,
    /// At this time no call of this worker may occupy the service.
    valid_until: Instant,
    /// Calls begin before this time: there is enough left until the end of the lease.
    begin_until: Instant,
    paused_until: Instant,
    /// Calls in flight.
    open: u32,
    /// Calls that timed out or were cut, and may still occupy the service.
    presumed: u32,
    waiting: AclQueue<oneshot::Sender<()>>,
    /// Calls that ended since the last renewal.
    sums: CallSums,
    /// The longest pause that the service asked for since the last renewal.
    pause: Duration,
}

/// The part of a renewal that is known to be stored once the renewal is.
#[derive(Clone, Copy)]
pub(crate) struct GateReport {
    /// The most calls in flight until another share applies.
    pub(crate) confirmed: u32,
    /// Calls in flight, and those that may still occupy the service.
    pub(crate) in_use: u32,
    /// The number of waiting requests.
    pub(crate) waiting: u32,
    /// Sums of calls.
    pub(crate) sums: CallSums,
    /// The pause to announce.
    pub(crate) pause: Duration,
}

impl GateReport {
    /// Returns the renewal that reports this.
    pub(crate) fn renewal(
        &self,
        worker: AclWorkerId,
        total: std::num::NonZeroU32,
        call_timeout: Duration,
        jitter: u32,
    ) -> ShareRenewal {
        let Self { confirmed, waiting, sums, pause, in_use: _ } = *self;
        ShareRenewal { worker, total, confirmed, waiting, call_timeout, sums, pause, leaving: false, jitter }
    }
}

impl GateState {
    fn in_use(&self) -> u32 {
        self.open.saturating_add(self.presumed)
    }

    fn usable_slots(&self, now: Instant) -> u32 {
        if self.allowance == CallAllowance::None || now >= self.begin_until { 0 } else { self.slots }
    }

    fn may_begin(&self, now: Instant) -> bool {
        self.in_use() < self.usable_slots(now) && now >= self.paused_until
    }

    fn begin(&mut self) {
        self.open = self.open.saturating_add(1);
        if self.allowance == CallAllowance::Probe {
            self.allowance = CallAllowance::None;
        }
    }

    /// Gives free slots to waiting requests.
    fn dispatch(&mut self, now: Instant, started: Instant) {
        while self.may_begin(now) {
            let Some(next) = self.waiting.pop(now.saturating_duration_since(started)) else { return };
            // A request that left meanwhile has dropped its end.
            if next.send(()).is_ok() {
                self.begin();
            }
        }
    }
}

impl AclGate {
    /// Creates a gate without a share. A call takes at most `call_timeout`.
    pub(crate) fn new(call_timeout: Duration) -> Self {
        let now = Instant::now();
        let state = GateState {
            slots: 0,
            allowance: CallAllowance::Unlimited,
            valid_until: now,
            begin_until: now,
            paused_until: now,
            open: 0,
            presumed: 0,
            waiting: AclQueue::new(),
            sums: CallSums::default(),
            pause: Duration::ZERO,
        };
        let shared = GateShared {
            state: Mutex::new(state),
            call_timeout,
            started: now,
            renewal_due: Notify::new(),
            leasing: watch::Sender::new(true),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for the turn of a request for `host` that has waited since `since`.
    pub(crate) async fn acquire(&self, host: &str, since: Instant) -> CallPermit {
        let (turn, granted) = oneshot::channel();
        let mut waiting = {
            let mut state = self.shared.state.lock();
            // Read under the lock: a renewal may have confirmed meanwhile that no call begins any more.
            let now = Instant::now();
            let had_to_wait = !state.may_begin(now) || !state.waiting.is_empty();
            if had_to_wait {
                state.sums.waited = state.sums.waited.saturating_add(1);
            }
            let ticket = state.waiting.push(host, since.saturating_duration_since(self.shared.started), turn);
            state.dispatch(now, self.shared.started);
            WaitingRequest { gate: self.clone(), ticket: Some(ticket) }
        };
        // The sender is dropped only together with the gate, which this future borrows.
        let _ = granted.await;
        waiting.ticket = None;
        CallPermit { gate: self.clone(), ended: false, _gauge: metric::track(metric::ACL_IN_FLIGHT) }
    }

    /// Returns whether the breaker is open.
    pub(crate) fn is_closed_to_calls(&self) -> bool {
        self.shared.state.lock().allowance != CallAllowance::Unlimited
    }

    /// Watches whether messages should be leased: not by a worker without slots while others have some.
    pub(crate) fn watch_leasing(&self) -> watch::Receiver<bool> {
        self.shared.leasing.subscribe()
    }

    /// Waits until a renewal should not wait any longer.
    pub(crate) async fn renewal_due(&self) {
        self.shared.renewal_due.notified().await;
    }

    /// Returns the facts for a renewal.
    pub(crate) fn report(&self) -> GateReport {
        let state = self.shared.state.lock();
        GateReport {
            confirmed: state.usable_slots(Instant::now()).max(state.in_use()),
            in_use: state.in_use(),
            waiting: u32::try_from(state.waiting.len()).unwrap_or(u32::MAX),
            sums: state.sums,
            pause: state.pause,
        }
    }

    /// Applies a share whose renewal was begun at `begun` and reported `report`.
    pub(crate) fn apply(&self, share: &AclShare, begun: Instant, report: &GateReport) {
        {
            let mut state = self.shared.state.lock();
            let now = Instant::now();
            state.slots = share.slots;
            state.allowance = share.allowance;
            state.valid_until = begun + share.valid_for;
            let reserved = self.shared.call_timeout + MIN_CALL_TIMEOUT;
            state.begin_until = begun + share.valid_for.saturating_sub(reserved);
            state.paused_until = state.paused_until.max(begun + share.pause);
            state.sums.subtract(report.sums);
            if state.pause <= report.pause {
                state.pause = Duration::ZERO;
            }
            state.dispatch(now, self.shared.started);
        }
        self.dispatch_after_pause();
        let leases = share.slots > 0 || !share.others_hold;
        self.shared.leasing.send_if_modified(|leasing| std::mem::replace(leasing, leases) != leases);
        metric::set_gauge(metric::ACL_SHARE, share.slots.into());
        metric::set_gauge(metric::ACL_FLEET_LIMIT, share.fleet_limit.into());
    }

    fn dispatch(&self) {
        self.shared.state.lock().dispatch(Instant::now(), self.shared.started);
    }

    fn dispatch_after_pause(&self) {
        let paused_until = self.shared.state.lock().paused_until;
        if paused_until > Instant::now() {
            let gate = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(paused_until).await;
                gate.dispatch();
            });
        }
    }

    /// Ends a call: counts it and frees its slot, after the time-out of a call if the service may still work on it.
    fn end_call(&self, result: Result<DecisionStatus, AclCallError>, took: Duration) {
        let still_occupies = may_occupy_service(result);
        let due = {
            let mut state = self.shared.state.lock();
            state.open = state.open.saturating_sub(1);
            // A time-out that the end of the lease shortened shows nothing about the service.
            let was_shortened = result == Err(AclCallError::TimedOut) && took < self.shared.call_timeout;
            if let Some(end) = call_end(result).filter(|_| !was_shortened) {
                state.sums.add_call(end, took);
            }
            if still_occupies {
                state.presumed = state.presumed.saturating_add(1);
            }
            if let Err(AclCallError::Overloaded { retry_after: Some(pause), .. }) = result {
                let pause = pause.min(MAX_ACL_PAUSE);
                state.pause = state.pause.max(pause);
                state.paused_until = state.paused_until.max(Instant::now() + pause);
            }
            let is_silent = state.sums.is_silent();
            if is_silent {
                // The fleet decides whether the breaker opens; until then this worker stops.
                state.allowance = CallAllowance::None;
            }
            state.dispatch(Instant::now(), self.shared.started);
            is_silent || state.allowance == CallAllowance::None || !state.pause.is_zero()
        };
        if due {
            self.shared.renewal_due.notify_one();
        }
        if still_occupies {
            let gate = self.clone();
            let occupancy = self.shared.call_timeout;
            let gauge = metric::track(metric::ACL_PRESUMED);
            tokio::spawn(async move {
                tokio::time::sleep(occupancy).await;
                drop(gauge);
                let mut state = gate.shared.state.lock();
                state.presumed = state.presumed.saturating_sub(1);
                state.dispatch(Instant::now(), gate.shared.started);
            });
        }
        self.dispatch_after_pause();
    }
}

/// Returns whether the service may still work on a call that ended. The 504 is that of a gateway before the service.
const fn may_occupy_service(result: Result<DecisionStatus, AclCallError>) -> bool {
    matches!(result, Err(AclCallError::TimedOut | AclCallError::Cut | AclCallError::Status(504)))
}

/// Returns the end of a call as the controller counts it; `None` for a call that never left this process.
fn call_end(result: Result<DecisionStatus, AclCallError>) -> Option<CallEnd> {
    Some(match result {
        Ok(_) => CallEnd::Answered,
        Err(AclCallError::TimedOut) => CallEnd::TimedOut,
        Err(AclCallError::Overloaded { .. }) => CallEnd::Overloaded,
        Err(AclCallError::Unreachable | AclCallError::Cut) => CallEnd::Unreachable,
        Err(AclCallError::Status(_) | AclCallError::Unreadable) => CallEnd::Error,
        Err(AclCallError::NotSent) => return None,
    })
}

/// Shortest time-out with which a call begins.
const MIN_CALL_TIMEOUT: Duration = Duration::from_millis(100);

/// A request in the queue. Dropped before its turn it leaves the queue, or passes on the slot that it was just given.
struct WaitingRequest {
    gate: AclGate,
    ticket: Option<AclTicket>,
}

impl Drop for WaitingRequest {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut state = self.gate.shared.state.lock();
        if state.waiting.remove(&ticket).is_none() {
            state.open = state.open.saturating_sub(1);
            state.dispatch(Instant::now(), self.gate.shared.started);
        }
    }
}

/// The right to one call, and its slot.
pub(crate) struct CallPermit {
    gate: AclGate,
    ended: bool,
    _gauge: metric::GaugeGuard,
}

impl CallPermit {
    /// Returns the time-out of the call: at most `longest`, and shorter if the lease of the share is about to end. `None` if
    /// so little is left that the call must not begin.
    pub(crate) fn timeout(&self, longest: Duration) -> Option<Duration> {
        let shared = &self.gate.shared;
        let state = shared.state.lock();
        let left = state.valid_until.saturating_duration_since(Instant::now());
        let timeout = left.saturating_sub(shared.call_timeout).min(longest);
        (timeout >= MIN_CALL_TIMEOUT.min(longest)).then_some(timeout)
    }

    /// Ends the call.
    pub(crate) fn end(mut self, result: Result<DecisionStatus, AclCallError>, took: Duration) {
        self.ended = true;
        self.gate.end_call(result, took);
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.gate.shared.state.lock();
            state.open = state.open.saturating_sub(1);
            state.dispatch(Instant::now(), self.gate.shared.started);
        }
    }
}
