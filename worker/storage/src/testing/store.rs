//! An in-memory store.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{GiveUpReason, RequestId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{EventJournal, JournalEvent};
use crate::error::StoreError;
use crate::store::{
    AfterAttempt, AttemptReport, CallbackBacklog, CallbackJob, ClaimLimits, DecidedMessage, Outcome,
    PoisonMessage, RecordVerdict, ReleasedCallback, Store, UnavailableReceiver,
};

/// State of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackState {
    /// Due at this instant.
    Due(Instant),
    /// Leased for an attempt.
    Leased,
    /// Delivered.
    Delivered,
    /// Dead letter.
    Dead(GiveUpReason),
}

/// An in-memory store that records the order of its operations and fails on request.
pub struct MemoryStore {
    state: Mutex<MemoryStoreState>,
    journal: EventJournal,
    /// Acquired by `record`, `report` and `backlog`: without a permit the store hangs.
    gate: Semaphore,
    broken: AtomicBool,
}

#[derive(Default)]
struct MemoryStoreState {
    recorded: HashSet<String>,
    decisions: BTreeMap<RequestId, DecidedMessage>,
    duplicates: usize,
    redelivered: usize,
    poison: Vec<PoisonMessage>,
    callbacks: BTreeMap<RequestId, (CallbackJob, CallbackState)>,
    reports: Vec<Vec<AttemptReport>>,
    claims: usize,
    released: usize,
    unavailable: BTreeMap<String, UnavailableReceiver>,
    record_failures: VecDeque<StoreError>,
    report_failures: VecDeque<StoreError>,
}

impl MemoryStore {
    /// Creates an empty store that notes its operations in a journal.
    pub fn new(journal: EventJournal) -> Self {
        Self { state: Mutex::default(), journal, gate: Semaphore::new(1), broken: AtomicBool::new(false) }
    }

    /// Makes `purge` panic.
    pub fn break_purge(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Makes the next records fail with these errors.
    pub fn fail_records(&self, errors: impl IntoIterator<Item = StoreError>) {
        self.state.lock().record_failures.extend(errors);
    }

    /// Returns the number of these errors that are left.
    pub fn failures_left(&self) -> usize {
        self.state.lock().record_failures.len()
    }

    /// Makes the next reports fail with these errors.
    pub fn fail_reports(&self, errors: impl IntoIterator<Item = StoreError>) {
        self.state.lock().report_failures.extend(errors);
    }

    /// Makes `record`, `report` and `backlog` hang until [`MemoryStore::resume`].
    pub fn hang(&self) {
        self.gate.forget_permits(1);
    }

    /// Ends the effect of [`MemoryStore::hang`].
    pub fn resume(&self) {
        self.gate.add_permits(1);
    }

    /// Adds a due callback, as after a crash or before a retry.
    pub fn add_due(&self, job: CallbackJob) {
        let due = CallbackState::Due(Instant::now());
        self.state.lock().callbacks.insert(job.request_id, (job, due));
    }

    /// Adds a callback that another worker has leased.
    pub fn add_leased(&self, job: CallbackJob) {
        self.state.lock().callbacks.insert(job.request_id, (job, CallbackState::Leased));
    }

    /// Returns the decisions, in the order of their request ids.
    pub fn decisions(&self) -> Vec<DecidedMessage> {
        self.state.lock().decisions.values().cloned().collect()
    }

    /// Returns the number of decisions.
    pub fn decided(&self) -> usize {
        self.state.lock().decisions.len()
    }

    /// Returns the poison messages.
    pub fn poison(&self) -> Vec<PoisonMessage> {
        self.state.lock().poison.clone()
    }

    /// Returns the numbers of duplicates and of redelivered messages.
    pub fn repeats(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.duplicates, state.redelivered)
    }

    /// Returns the state of a callback.
    pub fn callback(&self, id: RequestId) -> Option<CallbackState> {
        self.state.lock().callbacks.get(&id).map(|(_, state)| *state)
    }

    /// Counts the callbacks in a state.
    pub fn count(&self, wanted: impl Fn(CallbackState) -> bool) -> usize {
        self.state.lock().callbacks.values().filter(|(_, state)| wanted(*state)).count()
    }

    /// Returns the batches of reports.
    pub fn reports(&self) -> Vec<Vec<AttemptReport>> {
        self.state.lock().reports.clone()
    }

    /// Returns the number of receivers that are stored as unavailable.
    pub fn unavailable_receivers(&self) -> usize {
        self.state.lock().unavailable.len()
    }

    /// Returns the number of released callbacks.
    pub fn released(&self) -> usize {
        self.state.lock().released
    }

    /// Returns the number of claims.
    pub fn claims(&self) -> usize {
        self.state.lock().claims
    }
}

impl MemoryStoreState {
    fn record(&mut self, outcome: &Outcome) -> RecordVerdict {
        if !self.recorded.insert(outcome.key().as_str().to_owned()) {
            self.redelivered += 1;
            return RecordVerdict::Redelivered;
        }
        let decided = match outcome {
            Outcome::Decided(decided) => decided,
            Outcome::Poison(poison) => {
                self.poison.push(poison.clone());
                return RecordVerdict::Poison;
            }
        };
        let id = decided.message.id;
        if self.decisions.contains_key(&id) {
            self.duplicates += 1;
            return RecordVerdict::Duplicate { resent: false };
        }
        let job = CallbackJob::first_attempt(decided.clone());
        self.decisions.insert(id, decided.clone());
        self.callbacks.insert(id, (job, CallbackState::Leased));
        RecordVerdict::Decided
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn record(&self, outcomes: &[Outcome]) -> Result<Vec<RecordVerdict>, StoreError> {
        let _turn = self.gate.acquire().await.unwrap();
        let mut state = self.state.lock();
        if let Some(error) = state.record_failures.pop_front() {
            return Err(error);
        }
        let record = |outcome: &Outcome| {
            self.journal.note(JournalEvent::Recorded(outcome.key().as_str().to_owned()));
            state.record(outcome)
        };
        Ok(outcomes.iter().map(record).collect())
    }

    async fn claim(&self, limits: ClaimLimits) -> Result<Vec<CallbackJob>, StoreError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut under_way: HashMap<Box<str>, usize> = limits.under_way;
        let mut jobs = Vec::new();
        for (job, callback) in state.callbacks.values_mut() {
            let host = under_way.entry(job.callback_url.host_str().into()).or_default();
            let due = matches!(callback, CallbackState::Due(at) if *at <= now);
            if due && jobs.len() < limits.total && *host < limits.per_host {
                *host += 1;
                *callback = CallbackState::Leased;
                jobs.push(job.clone());
            }
        }
        state.claims += 1;
        Ok(jobs)
    }

    async fn release(&self, released: &[ReleasedCallback]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.released += released.len();
        for ReleasedCallback { request_id, attempt, after } in released {
            if let Some((job, callback)) = state.callbacks.get_mut(request_id)
                && job.attempt == *attempt
            {
                *callback = CallbackState::Due(Instant::now() + *after);
            }
        }
        Ok(())
    }

    async fn wake(&self, hosts: &[Box<str>]) -> Result<(), StoreError> {
        for (job, callback) in self.state.lock().callbacks.values_mut() {
            let host = job.callback_url.host_str();
            if hosts.iter().any(|woken| **woken == *host) && matches!(callback, CallbackState::Due(_)) {
                *callback = CallbackState::Due(Instant::now());
            }
        }
        Ok(())
    }

    async fn sync_receivers(
        &self,
        unavailable: &[UnavailableReceiver],
        available: &[String],
    ) -> Result<Vec<UnavailableReceiver>, StoreError> {
        let mut state = self.state.lock();
        for name in available {
            state.unavailable.remove(name);
        }
        for found in unavailable {
            state.unavailable.insert(found.receiver.clone(), found.clone());
        }
        Ok(state.unavailable.values().cloned().collect())
    }

    async fn backlogged_hosts(&self, hosts: &[Box<str>], limit: u32) -> Result<Vec<Box<str>>, StoreError> {
        let state = self.state.lock();
        let pending = |host: &str| {
            let callbacks = state.callbacks.values().filter(|(job, callback)| {
                job.callback_url.host_str() == host
                    && matches!(callback, CallbackState::Due(_) | CallbackState::Leased)
            });
            u32::try_from(callbacks.count()).unwrap()
        };
        Ok(hosts.iter().filter(|host| pending(host) > limit).cloned().collect())
    }

    async fn report(&self, reports: &[AttemptReport]) -> Result<(), StoreError> {
        let _turn = self.gate.acquire().await.unwrap();
        let mut state = self.state.lock();
        if let Some(error) = state.report_failures.pop_front() {
            return Err(error);
        }
        for report in reports {
            let Some((job, callback)) = state.callbacks.get_mut(&report.request_id) else { continue };
            if job.attempt != report.attempt {
                continue;
            }
            job.attempt = job.attempt.saturating_add(1);
            job.round_attempt = job.round_attempt.saturating_add(1);
            *callback = match report.next {
                AfterAttempt::Delivered => CallbackState::Delivered,
                AfterAttempt::Retry { after } => CallbackState::Due(Instant::now() + after),
                AfterAttempt::Dead { reason } => CallbackState::Dead(reason),
            };
        }
        state.reports.push(reports.to_vec());
        Ok(())
    }

    async fn purge(&self, _: Duration) -> Result<bool, StoreError> {
        assert!(!self.broken.load(Ordering::SeqCst), "injected panic");
        Ok(false)
    }

    async fn backlog(&self) -> Result<CallbackBacklog, StoreError> {
        let _turn = self.gate.acquire().await.unwrap();
        if let Some(error) = self.state.lock().report_failures.pop_front() {
            return Err(error);
        }
        let dead = self.count(|state| matches!(state, CallbackState::Dead(_)));
        let done = self.count(|state| matches!(state, CallbackState::Delivered));
        let all = self.count(|_| true);
        Ok(CallbackBacklog {
            in_flight: u64::try_from(all - done - dead).unwrap(),
            dead: u64::try_from(dead).unwrap(),
        })
    }
}
