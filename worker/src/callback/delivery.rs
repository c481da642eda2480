//! Delivery of callbacks: at once where a permit is free, otherwise claimed from the store when due.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chargegate_core::{AttemptOutcome, GiveUpReason, NextAttempt, RetryPolicy, full_jitter};
use tokio::sync::{Notify, SetOnce, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{debug, warn};

use super::client::{AttemptResponse, CallbackClient, NotAttempted};
use super::receivers::{AvailabilityChanges, HostPermit, Receivers, Refusal};
use crate::metric;
use crate::retry_until_done::RetryUntilDone;
use chargegate_storage::Batcher;
use chargegate_storage::spawn_signalling_end;
use chargegate_storage::store::{
    AfterAttempt, AttemptReport, AttemptResult, CallbackJob, ClaimLimits, ReleasedCallback, Store,
};
use chargegate_storage::{Effects, StoreError};

/// Longest wait after failed claims.
const CLAIM_RETRY_CAP: Duration = Duration::from_secs(5);
/// Time between two looks for changes of health that have to be stored.
const HEALTH_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which the health that other workers stored is read again, without a change to store.
const HEALTH_READ_INTERVAL: Duration = Duration::from_secs(5);
/// Shortest wait of a claimed callback that finds no slot.
const CLAIM_REFUSED_WAIT: Duration = Duration::from_millis(250);
/// Longest time by which the age of a callback lengthens its postponement.
const MAX_POSTPONEMENT: Duration = Duration::from_mins(5);
/// Time between two counts of the callbacks that wait for hosts.
const BACKLOG_COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// Most attempts reported in one transaction.
const MAX_REPORT_BATCH: usize = 256;

/// Settings for delivering callbacks.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Most attempts in flight.
    pub concurrency: usize,
    /// Most attempts in flight for one host.
    pub per_host: usize,
    /// Most pending callbacks to one host, about: new ones beyond them become dead letters.
    pub pending_per_host: u32,
    /// Interval of claims of due callbacks.
    pub poll_interval: Duration,
    /// Policy of retries.
    pub retry: RetryPolicy,
    /// Shortest time between two transactions that report attempts, so that batches grow under load.
    pub report_interval: Duration,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            concurrency: 512,
            per_host: 64,
            pending_per_host: 100_000,
            poll_interval: Duration::from_millis(250),
            retry: RetryPolicy::default(),
            report_interval: Duration::ZERO,
        }
    }
}

/// Handle that starts attempts.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    shared: Arc<DeliveryState>,
    ends: mpsc::Sender<EndedAttempt>,
}

/// The end of an attempt, not yet recorded.
struct EndedAttempt {
    end: AttemptEnd,
    /// Instant from which the delay in the report runs.
    ended_at: Instant,
    /// Held until the end is committed: an unreported attempt counts as in flight.
    permit: Option<HostPermit>,
}

enum AttemptEnd {
    Reported(AttemptReport),
    /// The attempt did not begin; the callback returns to the store.
    Released(ReleasedCallback),
}

struct DeliveryState {
    client: CallbackClient,
    effects: Effects,
    receivers: Receivers,
    pending_per_host: u32,
    retry: RetryPolicy,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Set when a job without a permit waits in the store.
    overflowed: AtomicBool,
    permit_freed: Notify,
    /// Set once the health of receivers was read from the store, or could not be.
    health_known: SetOnce<()>,
}

/// Tasks behind a [`Dispatcher`].
pub(crate) struct Delivery {
    shared: Arc<DeliveryState>,
    claim_task: tokio::task::JoinHandle<()>,
    health_task: tokio::task::JoinHandle<()>,
    report_task: tokio::task::JoinHandle<()>,
}

impl Delivery {
    /// Starts claiming and reporting. `ended` is cancelled when either task ends, also by a panic.
    #[must_use]
    pub(crate) fn start(
        client: CallbackClient,
        store: Arc<dyn Store>,
        settings: &DeliverySettings,
        effects: Effects,
        abandon: CancellationToken,
        ended: &CancellationToken,
    ) -> (Self, Dispatcher) {
        let shared = Arc::new(DeliveryState {
            client,
            effects: effects.clone(),
            receivers: Receivers::new(settings.concurrency, settings.per_host, effects.clone()),
            pending_per_host: settings.pending_per_host,
            retry: settings.retry,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            overflowed: AtomicBool::new(false),
            permit_freed: Notify::new(),
            health_known: SetOnce::new(),
        });
        let (ends, inbox) = mpsc::channel(settings.concurrency.max(1));
        let dispatcher = Dispatcher { shared: Arc::clone(&shared), ends };
        let retry = RetryUntilDone::new(effects, abandon);
        let inbox = Batcher::new(inbox, MAX_REPORT_BATCH, settings.report_interval);
        let reporting = report_attempts(inbox, Arc::clone(&store), retry, Arc::clone(&shared));
        let report_task = spawn_signalling_end(ended, reporting);
        let health_task = spawn_signalling_end(ended, share_health(Arc::clone(&shared), Arc::clone(&store)));
        let claim_task =
            spawn_signalling_end(ended, claim_due(dispatcher.clone(), store, settings.poll_interval));
        (Self { shared, claim_task, health_task, report_task }, dispatcher)
    }

    /// Stops claiming and waits until the attempts in flight, each bounded by its deadline, are reported. The caller drops
    /// its [`Dispatcher`]s first.
    pub(crate) async fn stop(self) {
        self.shared.stop.cancel();
        let _ = self.claim_task.await;
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let _ = tokio::join!(self.report_task, self.health_task);
    }
}

/// The source of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobSource {
    /// Decided just now.
    Decided,
    /// Claimed from the store.
    Claimed,
}

impl Dispatcher {
    /// Starts an attempt for each job that was decided just now and may begin. Returns the other jobs, to be released to
    /// the store. Callbacks to the same host that wait there go first.
    #[must_use]
    pub(crate) fn start(&self, jobs: Vec<CallbackJob>) -> Vec<ReleasedCallback> {
        self.start_from(JobSource::Decided, jobs)
    }

    fn start_from(&self, source: JobSource, jobs: Vec<CallbackJob>) -> Vec<ReleasedCallback> {
        let DeliveryState { receivers, stop, overflowed, .. } = &*self.shared;
        let stopping = stop.is_cancelled();
        let mut unstarted = Vec::new();
        for job in jobs {
            let host = job.callback_url.host_str();
            let must_wait = source == JobSource::Decided && receivers.is_waiting(host);
            let admitted =
                if stopping || must_wait { Err(Refusal::Full) } else { receivers.admit(&job.callback_url) };
            if source == JobSource::Decided && admitted.is_err() && self.give_up_beyond_backlog(&job) {
                continue;
            }
            match admitted {
                Ok(permit) => self.spawn_attempt(job, permit),
                // Others that are claimed in its stead may find a slot that is kept for proven hosts.
                Err(Refusal::Full) if source == JobSource::Claimed => {
                    if !self.give_up_in_time(&job, CLAIM_REFUSED_WAIT) {
                        unstarted.push(self.shared.postpone(&job, CLAIM_REFUSED_WAIT));
                    }
                }
                Err(Refusal::Full) => {
                    if !must_wait {
                        receivers.note_waiting(host);
                    }
                    overflowed.store(true, Ordering::Relaxed);
                    unstarted.push(ReleasedCallback::now(&job));
                }
                Err(Refusal::Unavailable(wait)) => {
                    if !self.give_up_in_time(&job, wait) {
                        unstarted.push(self.shared.postpone(&job, wait));
                    }
                }
            }
        }
        unstarted
    }

    /// Makes a callback a dead letter whose time is used up before `wait` ends. Returns whether it did.
    fn give_up_in_time(&self, job: &CallbackJob, wait: Duration) -> bool {
        self.shared.is_out_of_time(job, Duration::ZERO, wait) && self.give_up(job, GiveUpReason::Time)
    }

    /// Makes a callback a dead letter to whose host too many others are pending. Returns whether it did.
    fn give_up_beyond_backlog(&self, job: &CallbackJob) -> bool {
        self.shared.receivers.note_refused(job.callback_url.host_str())
            && self.give_up(job, GiveUpReason::Backlog)
    }

    /// Makes a callback a dead letter without an attempt. Returns whether it did; while too many ends of attempts wait for
    /// the store, it does not.
    fn give_up(&self, job: &CallbackJob, reason: GiveUpReason) -> bool {
        let Ok(slot) = self.ends.try_reserve() else { return false };
        let end = AttemptEnd::Reported(self.shared.dead_letter(job, Duration::ZERO, reason));
        slot.send(EndedAttempt { end, ended_at: Instant::now(), permit: None });
        true
    }

    fn spawn_attempt(&self, job: CallbackJob, mut permit: HostPermit) {
        let shared = Arc::clone(&self.shared);
        let ends = self.ends.clone();
        let started = Instant::now();
        self.shared.tasks.spawn(async move {
            let end = match shared.attempt(&job, &mut permit).await {
                Ok(report) => AttemptEnd::Reported(report),
                Err(NotAttempted { wait }) if shared.is_out_of_time(&job, started.elapsed(), wait) => {
                    AttemptEnd::Reported(shared.dead_letter(&job, started.elapsed(), GiveUpReason::Time))
                }
                Err(NotAttempted { wait }) => AttemptEnd::Released(shared.postpone(&job, wait)),
            };
            let _ = ends.send(EndedAttempt { end, ended_at: Instant::now(), permit: Some(permit) }).await;
        });
    }
}

impl DeliveryState {
    /// Returns a callback that may be attempted after `wait`, spread over as much time again: one that is due earlier than
    /// the others suffices to probe its receiver. A callback that waits for long is looked at less often.
    fn postpone(&self, job: &CallbackJob, wait: Duration) -> ReleasedCallback {
        let wait = wait.max((job.round_age / 16).min(MAX_POSTPONEMENT));
        let spread = full_jitter(wait, 0, wait, self.effects.random.jitter());
        metric::callback_postponed();
        ReleasedCallback { after: wait.saturating_add(spread), ..ReleasedCallback::now(job) }
    }

    /// Returns whether the time of a callback is used up before `wait` ends, `took` after its claim.
    fn is_out_of_time(&self, job: &CallbackJob, took: Duration, wait: Duration) -> bool {
        job.round_age.saturating_add(took).saturating_add(wait) > self.retry.give_up_after
    }

    /// Returns the report that makes a callback a dead letter without an attempt.
    fn dead_letter(&self, job: &CallbackJob, took: Duration, reason: GiveUpReason) -> AttemptReport {
        metric::callback_dead(reason);
        warn!(
            request.id = %job.request_id, callback.host = job.callback_url.host_str(),
            result = AttemptResult::Withheld.as_str(), reason = reason.as_str(),
            "callback given up; stored as a dead letter",
        );
        AttemptReport {
            request_id: job.request_id,
            attempt: job.attempt,
            started_at: self.effects.clock.now(),
            took,
            result: AttemptResult::Withheld,
            next: AfterAttempt::Dead { reason },
        }
    }

    async fn attempt(
        &self,
        job: &CallbackJob,
        permit: &mut HostPermit,
    ) -> Result<AttemptReport, NotAttempted> {
        let started_at = self.effects.clock.now();
        let start = Instant::now();
        let _in_flight = metric::track(metric::CALLBACKS_UNDER_WAY);
        let traceparent = job.traceparent.map(|trace| trace.child(self.effects.random.bits().to_be_bytes()));
        let AttemptResponse { result, retry_after, forbidden, .. } =
            self.client.post(job, traceparent, permit).await?;
        let took = start.elapsed();

        let outcome = match result {
            AttemptResult::Answered(status) => AttemptOutcome::Answered { status, retry_after },
            AttemptResult::Blocked => AttemptOutcome::Blocked,
            _ => AttemptOutcome::Failed,
        };
        let age = job.round_age.saturating_add(took);
        let next = self.retry.next_attempt(outcome, job.round_attempt, age, self.effects.random.jitter());
        metric::attempt(result, next, took);
        let rule = forbidden.map(display);
        debug!(
            request.id = %job.request_id, attempt.n = job.attempt.get(), callback.host = job.callback_url.host_str(),
            result = result.as_str(), rule, took_ms = took.as_millis(), "callback attempted",
        );
        let next = match next {
            NextAttempt::Delivered => AfterAttempt::Delivered,
            NextAttempt::Retry { after } => AfterAttempt::Retry { after },
            NextAttempt::GiveUp(reason) => {
                warn!(
                    request.id = %job.request_id, attempt.n = job.attempt.get(),
                    callback.host = job.callback_url.host_str(), result = result.as_str(), rule,
                    reason = reason.as_str(), "callback given up; stored as a dead letter",
                );
                AfterAttempt::Dead { reason }
            }
        };
        Ok(AttemptReport { request_id: job.request_id, attempt: job.attempt, started_at, took, result, next })
    }
}

/// Writes ends of attempts in batches: while one batch commits, the next one collects.
async fn report_attempts(
    mut inbox: Batcher<EndedAttempt>,
    store: Arc<dyn Store>,
    retry: RetryUntilDone,
    shared: Arc<DeliveryState>,
) {
    while let Some(batch) = inbox.next().await {
        let (mut reports, mut measured_at, mut unattempted, mut permits) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for EndedAttempt { end, ended_at, permit } in batch {
            match end {
                AttemptEnd::Reported(report) => {
                    reports.push(report);
                    measured_at.push(ended_at);
                }
                AttemptEnd::Released(released) => unattempted.push(released),
            }
            permits.push(permit);
        }
        release(store.as_ref(), unattempted).await;
        let mut failures = retry.failures("report attempts");
        while !reports.is_empty() {
            shorten_delays(&mut reports, &mut measured_at);
            let Err(error) = store.report(&reports).await else { break };
            // An attempt without a report is repeated when its lease expires: delivery is at least once.
            if failures.wait_after(error).await.is_none() {
                break;
            }
        }
        drop(permits);
        if shared.overflowed.load(Ordering::Relaxed) {
            shared.permit_freed.notify_one();
        }
    }
}

/// Shortens the delays of retries by the time since they were measured, so that a report that waits for the store does not
/// postpone the retry.
fn shorten_delays(reports: &mut [AttemptReport], measured_at: &mut [Instant]) {
    let now = Instant::now();
    for (report, measured_at) in reports.iter_mut().zip(measured_at) {
        let passed = now.duration_since(std::mem::replace(measured_at, now));
        if let AfterAttempt::Retry { after } = &mut report.next {
            *after = after.saturating_sub(passed);
        }
    }
}

/// Starts due callbacks: retries, jobs that found no permit before, and jobs that a crash left behind.
async fn claim_due(dispatcher: Dispatcher, store: Arc<dyn Store>, poll: Duration) {
    let shared = &dispatcher.shared;
    if shared.stop.run_until_cancelled(shared.health_known.wait()).await.is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = shared.permit_freed.notified() => {}
        }
        shared.client.close_expired();
        let (total, in_flight) = shared.receivers.snapshot();
        if total == 0 {
            continue;
        }
        let limits = ClaimLimits { total, per_host: shared.receivers.per_host(), under_way: in_flight };
        shared.overflowed.store(false, Ordering::Relaxed);
        match store.claim(limits).await {
            Ok(jobs) => {
                failures = 0;
                if !jobs.is_empty() {
                    // More callbacks may be due than permits were free.
                    shared.overflowed.store(true, Ordering::Relaxed);
                }
                // Fewer than there are slots for: what is left belongs to hosts without a free slot.
                if jobs.len() < total {
                    let found: HashSet<&str> = jobs.iter().map(|job| job.callback_url.host_str()).collect();
                    shared.receivers.note_claimed(&found);
                }
                let unstarted = dispatcher.start_from(JobSource::Claimed, jobs);
                release(store.as_ref(), unstarted).await;
            }
            Err(error) => {
                let wait = full_jitter(poll, failures, CLAIM_RETRY_CAP, shared.effects.random.jitter());
                failures = failures.saturating_add(1);
                chargegate_storage::metric::engine_failure();
                warn!(
                    error = %error, cause = chargegate_storage::metric::cause(&error), retry_ms = wait.as_millis(),
                    "could not claim callbacks; retrying",
                );
                let _ = shared.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
}

/// Shares the health of receivers with other workers, and with the next run of this one, until stopped. Changed keys are
/// read at the same interval.
async fn share_health(shared: Arc<DeliveryState>, store: Arc<dyn Store>) {
    let mut is_failing = false;
    let mut read_at: Option<Instant> = None;
    let mut counted_at: Option<Instant> = None;
    loop {
        let is_stopping = shared.stop.is_cancelled();
        if is_stopping {
            // The last attempts count too.
            shared.tasks.wait().await;
        }
        shared.client.refresh_keys().await;
        let changes = shared.receivers.take_changes();
        let is_read = read_at.is_some_and(|read_at| read_at.elapsed() < HEALTH_READ_INTERVAL);
        if changes != AvailabilityChanges::default() || !(is_read || is_stopping) {
            is_failing = sync_health(&shared, store.as_ref(), changes, is_failing).await.is_err();
            read_at = (!is_failing).then(Instant::now);
        }
        if is_stopping {
            return;
        }
        if counted_at.is_none_or(|counted_at| counted_at.elapsed() >= BACKLOG_COUNT_INTERVAL) {
            counted_at = Some(Instant::now());
            check_backlogs(&shared, store.as_ref()).await;
        }
        let _ = shared.health_known.set(());
        let _ = shared.stop.run_until_cancelled(tokio::time::sleep(HEALTH_SYNC_INTERVAL)).await;
    }
}

/// Stores changes of health and reads those of others. Callbacks to hosts that are available again become due. A failure
/// after another, `is_failing`, is not logged.
async fn sync_health(
    shared: &DeliveryState,
    store: &dyn Store,
    changes: AvailabilityChanges,
    is_failing: bool,
) -> Result<(), StoreError> {
    match store.sync_receivers(&changes.unavailable, &changes.available).await {
        Ok(unavailable) => {
            shared.receivers.join(&unavailable);
            if !changes.available_hosts.is_empty()
                && let Err(error) = store.wake(&changes.available_hosts).await
            {
                debug!(error = %error, "could not advance callbacks; they follow by schedule");
            }
            Ok(())
        }
        Err(error) => {
            shared.receivers.restore_changes(changes);
            // The claims of due callbacks, which fail too, are reported each time.
            if !is_failing {
                let cause = chargegate_storage::metric::cause(&error);
                warn!(error = %error, cause, "could not share the health of receivers; retrying");
            }
            Err(error)
        }
    }
}

/// Finds the hosts to which too many callbacks are pending.
async fn check_backlogs(shared: &DeliveryState, store: &dyn Store) {
    let hosts = shared.receivers.take_refused();
    if hosts.is_empty() {
        return;
    }
    // After a failure the hosts are found again, with their next callback.
    match store.backlogged_hosts(&hosts, shared.pending_per_host).await {
        Ok(backlogged) => shared.receivers.set_backlogged(backlogged),
        Err(error) => {
            warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not count the callbacks that wait for hosts");
        }
    }
}

/// Releases callbacks that were not attempted to the store. After a failure they are due when their leases expire.
pub(crate) async fn release(store: &dyn Store, released: Vec<ReleasedCallback>) {
    if released.is_empty() {
        return;
    }
    if let Err(error) = store.release(&released).await {
        warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not release callbacks; their leases will expire");
    }
}

#[cfg(test)]
mod tests;
