//! Where leases ask and calls bring.
//!
//! A lease says how many messages it wants, and calls ask the service for no more than is wanted and not yet on its
//! way: nothing leaves the queue that has no place here. They ask for full batches as long as there may soon be room
//! for one.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::Pace;
use super::service::{Idle, ServiceError, Terms};
use chargegate_storage::EngineError;
use chargegate_storage::queue::LeasedMessage;

/// How much longer than it may wait a lease stays for a call that is just coming back.
const GRACE: Duration = Duration::from_millis(500);
const FAR: Duration = Duration::from_hours(24);

/// Between the leases and the calls to the service.
#[derive(Debug)]
pub(super) struct Intake {
    terms: Terms,
    state: Mutex<State>,
    /// Told when messages came, or a lease may be over for another reason.
    changed: Notify,
    /// Told when there may be something to ask the service for.
    asked: Notify,
}

#[derive(Debug)]
struct State {
    closed: bool,
    /// What the leases that wait want.
    wanted: usize,
    /// The most they ever wanted: there is no room for more.
    most_wanted: usize,
    /// When the last of them has waited enough.
    until: Instant,
    /// What came and was not yet leased.
    ready: VecDeque<LeasedMessage>,
    /// What the calls under way ask for.
    under_way: usize,
    calls: usize,
    /// How many calls were ever begun.
    begun: u64,
    pace: Pace,
    /// Why there are no messages to be had, if so.
    failure: Option<ServiceError>,
    /// Since when what is wanted has been too little for a full batch.
    short_since: Option<Instant>,
    /// Messages settled since the last call was begun: whoever waits for messages has room for so many more.
    freed: usize,
    /// How often leases were asked to come again, with all the room there is.
    recalls: u64,
    /// Whether they were since the last call was begun.
    recalled: bool,
    /// Ticks since the last lease asked.
    quiet: u32,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for so many messages, and have the service wait for the first one.
    Call { count: usize, wait: Duration },
    /// Nothing until then, or until told.
    Sleep(Option<Instant>),
}

impl State {
    /// What is wanted and not on its way.
    fn free(&self) -> usize {
        self.wanted.saturating_sub(self.under_way + self.ready.len())
    }
}

impl Intake {
    pub(super) fn new(terms: Terms) -> Self {
        let state = State {
            closed: false,
            wanted: 0,
            most_wanted: 0,
            until: Instant::now(),
            ready: VecDeque::new(),
            under_way: 0,
            calls: 0,
            begun: 0,
            pace: Pace::new(terms),
            failure: None,
            short_since: None,
            freed: 0,
            recalls: 0,
            recalled: false,
            quiet: 0,
        };
        Self { terms, state: Mutex::new(state), changed: Notify::new(), asked: Notify::new() }
    }

    /// Waits up to `wait` for the first of `max` messages; see [`chargegate_storage::queue::Queue::lease`]. Comes back early, with
    /// none, when there is room for more by now than it asked for.
    pub(super) async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, EngineError> {
        let now = Instant::now();
        let until = now.checked_add(wait).unwrap_or(now + FAR);
        let wanting = Wanting::new(self, max, until);
        loop {
            // Registered before looking, so that nothing changes unseen in between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(end) = self.look(&wanting, until) {
                return end;
            }
            let wake = if Instant::now() < until { until } else { until + GRACE };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// What a lease comes to, if it has come to something.
    fn look(&self, wanting: &Wanting, until: Instant) -> Option<Result<Vec<LeasedMessage>, EngineError>> {
        let mut state = self.lock();
        if state.closed {
            return Some(Err(EngineError::Closed));
        }
        let count = wanting.max.min(state.ready.len());
        if count > 0 || wanting.max == 0 {
            return Some(Ok(state.ready.drain(..count).collect()));
        }
        if state.recalls > wanting.recalls {
            return Some(Ok(Vec::new()));
        }
        let now = Instant::now();
        if now < until {
            return None;
        }
        // Whoever does not wait has a call made for it as well, where one may be made.
        let asked_for = state.begun > wanting.begun || state.pace.not_before() > now;
        if now < until + GRACE && (state.calls > 0 || !asked_for) {
            return None;
        }
        Some(state.failure.clone().map_or_else(|| Ok(Vec::new()), |failure| Err(failure.into())))
    }

    /// What is to be done next, where `held` messages are in somebody's hands. A call counts as begun.
    pub(super) fn step(&self, held: usize) -> Step {
        let mut state = self.lock();
        let (now, free) = (Instant::now(), state.free());
        if state.closed || free == 0 || state.calls >= state.pace.allowed() {
            return Step::Sleep(None);
        }
        if state.pace.not_before() > now {
            return Step::Sleep(Some(state.pace.not_before()));
        }
        if free < self.terms.receive_batch.min(state.most_wanted) && held > 0 {
            // What is in somebody's hands, or comes with a call, will make room for more.
            if state.calls > 0 {
                return Step::Sleep(None);
            }
            let end = *state.short_since.get_or_insert(now) + self.terms.linger;
            if now < end {
                return Step::Sleep(Some(end));
            }
            if state.freed > 0 && !state.recalled {
                state.recalled = true;
                state.recalls += 1;
                drop(state);
                self.changed.notify_waiters();
                return Step::Sleep(None);
            }
        }
        let count = free.min(self.terms.receive_batch);
        let wait = match self.terms.idle {
            Idle::Pause(_) => Duration::ZERO,
            Idle::LongPoll(longest) => {
                state.until.saturating_duration_since(now).max(state.pace.wait()).min(longest)
            }
        };
        state.under_way += count;
        state.calls += 1;
        state.begun += 1;
        (state.short_since, state.freed, state.recalled) = (None, 0, false);
        Step::Call { count, wait }
    }

    /// Waits until there may be something to do.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// A call begun at `begun` that asked for `asked` is back: it got so many, these of them to be given out.
    pub(super) fn bring(&self, asked: usize, got: usize, begun: Instant, messages: Vec<LeasedMessage>) {
        let mut state = self.lock();
        state.call_ended(asked);
        state.failure = None;
        state.pace.came(asked, got, begun);
        state.ready.extend(messages);
        drop(state);
        self.wake();
    }

    /// A call that asked for so many failed.
    pub(super) fn fail(&self, asked: usize, error: ServiceError, until: Instant) {
        self.lock().call_ended(asked);
        self.hold_off(error, until);
    }

    /// Nothing is asked for until then, because of an error.
    pub(super) fn hold_off(&self, error: ServiceError, until: Instant) {
        let mut state = self.lock();
        state.failure = Some(error);
        state.pace.hold_off(until);
        drop(state);
        self.wake();
    }

    /// So many messages are in nobody's hands any more.
    pub(super) fn free(&self, count: usize) {
        let mut state = self.lock();
        state.freed = state.freed.saturating_add(count);
        drop(state);
        self.asked.notify_one();
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

    /// Ends every lease.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    /// Takes out what came and was not leased.
    pub(super) fn left(&self) -> Vec<LeasedMessage> {
        mem::take(&mut self.lock().ready).into()
    }

    /// Whether it is over.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn wake(&self) {
        self.changed.notify_waiters();
        self.asked.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn call_ended(&mut self, asked: usize) {
        self.under_way = self.under_way.saturating_sub(asked);
        self.calls = self.calls.saturating_sub(1);
    }
}

/// A lease's part in what is wanted, taken back when it ends or is dropped.
struct Wanting<'a> {
    intake: &'a Intake,
    max: usize,
    /// How many calls had been begun before.
    begun: u64,
    /// How many recalls there had been.
    recalls: u64,
}

impl<'a> Wanting<'a> {
    fn new(intake: &'a Intake, max: usize, until: Instant) -> Self {
        let mut state = intake.lock();
        state.wanted = state.wanted.saturating_add(max);
        state.most_wanted = state.most_wanted.max(state.wanted);
        state.until = state.until.max(until);
        state.quiet = 0;
        let (begun, recalls) = (state.begun, state.recalls);
        drop(state);
        intake.asked.notify_one();
        Self { intake, max, begun, recalls }
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        let mut state = self.intake.lock();
        state.wanted = state.wanted.saturating_sub(self.max);
    }
}
