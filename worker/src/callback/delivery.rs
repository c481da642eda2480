//! Delivery of callbacks: at once where a permit is free, otherwise claimed from the store when due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chargegate_core::{AttemptOutcome, NextAttempt, RetryPolicy, full_jitter};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{debug, warn};

use super::client::{AttemptResponse, CallbackClient};
use super::permits::{HostPermit, HostPermits};
use crate::metric;
use crate::retry_until_done::RetryUntilDone;
use chargegate_storage::Batcher;
use chargegate_storage::Effects;
use chargegate_storage::spawn_signalling_end;
use chargegate_storage::store::{
    AfterAttempt, AttemptReport, AttemptResult, CallbackJob, ClaimLimits, Store,
};

/// Longest wait after failed claims.
const CLAIM_RETRY_CAP: Duration = Duration::from_secs(5);
/// Most attempts reported in one transaction.
const MAX_REPORT_BATCH: usize = 256;

/// Settings for delivering callbacks.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Most attempts in flight.
    pub concurrency: usize,
    /// Most attempts in flight for one host.
    pub per_host: usize,
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
    reports: mpsc::Sender<PendingReport>,
}

/// Report of an attempt that is not yet recorded.
struct PendingReport {
    report: AttemptReport,
    /// Instant from which the delay in the report runs.
    ended_at: Instant,
    /// Held until the report is committed: an unreported attempt counts as in flight.
    permit: HostPermit,
}

struct DeliveryState {
    client: CallbackClient,
    effects: Effects,
    limits: HostPermits,
    retry: RetryPolicy,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Set when a job without a permit waits in the store.
    overflowed: AtomicBool,
    permit_freed: Notify,
}

/// Tasks behind a [`Dispatcher`].
pub(crate) struct Delivery {
    shared: Arc<DeliveryState>,
    claim_task: tokio::task::JoinHandle<()>,
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
            limits: HostPermits::new(settings.concurrency, settings.per_host),
            retry: settings.retry,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            overflowed: AtomicBool::new(false),
            permit_freed: Notify::new(),
        });
        let (reports, inbox) = mpsc::channel(settings.concurrency.max(1));
        let dispatcher = Dispatcher { shared: Arc::clone(&shared), reports };
        let retry = RetryUntilDone::new(effects, abandon);
        let inbox = Batcher::new(inbox, MAX_REPORT_BATCH, settings.report_interval);
        let reporting = report_attempts(inbox, Arc::clone(&store), retry, Arc::clone(&shared));
        let report_task = spawn_signalling_end(ended, reporting);
        let claim_task =
            spawn_signalling_end(ended, claim_due(dispatcher.clone(), store, settings.poll_interval));
        (Self { shared, claim_task, report_task }, dispatcher)
    }

    /// Stops claiming and waits until the attempts in flight, each bounded by its deadline, are reported. The caller drops
    /// its [`Dispatcher`]s first.
    pub(crate) async fn stop(self) {
        self.shared.stop.cancel();
        let _ = self.claim_task.await;
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let _ = self.report_task.await;
    }
}

impl Dispatcher {
    /// Starts an attempt for each job that gets a permit. Returns the other jobs, to be released to the store.
    #[must_use]
    pub(crate) fn start(&self, jobs: Vec<CallbackJob>) -> Vec<CallbackJob> {
        let stopping = self.shared.stop.is_cancelled();
        let mut unstarted = Vec::new();
        for job in jobs {
            match self.shared.limits.try_acquire(job.callback_url.host_str()) {
                Some(permit) if !stopping => self.spawn_attempt(job, permit),
                _ => unstarted.push(job),
            }
        }
        if !unstarted.is_empty() {
            self.shared.overflowed.store(true, Ordering::Relaxed);
        }
        unstarted
    }

    fn spawn_attempt(&self, job: CallbackJob, permit: HostPermit) {
        let shared = Arc::clone(&self.shared);
        let reports = self.reports.clone();
        self.shared.tasks.spawn(async move {
            let report = shared.attempt(&job).await;
            let _ = reports.send(PendingReport { report, ended_at: Instant::now(), permit }).await;
        });
    }
}

impl DeliveryState {
    async fn attempt(&self, job: &CallbackJob) -> AttemptReport {
        let started_at = self.effects.clock.now();
        let start = Instant::now();
        let _in_flight = metric::track(metric::CALLBACKS_UNDER_WAY);
        let traceparent = job.traceparent.map(|trace| trace.child(self.effects.random.bits().to_be_bytes()));
        let AttemptResponse { result, retry_after, forbidden } = self.client.post(job, traceparent).await;
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
        AttemptReport { request_id: job.request_id, attempt: job.attempt, started_at, took, result, next }
    }
}

/// Writes reports in batches: while one batch commits, the next one collects.
async fn report_attempts(
    mut inbox: Batcher<PendingReport>,
    store: Arc<dyn Store>,
    retry: RetryUntilDone,
    shared: Arc<DeliveryState>,
) {
    while let Some(batch) = inbox.next().await {
        let (mut reports, mut measured_at, mut permits) = (Vec::new(), Vec::new(), Vec::new());
        for PendingReport { report, ended_at, permit } in batch {
            reports.push(report);
            measured_at.push(ended_at);
            permits.push(permit);
        }
        let mut failures = retry.failures("report attempts");
        loop {
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
    let mut ticks = tokio::time::interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = shared.permit_freed.notified() => {}
        }
        let (total, in_flight) = shared.limits.snapshot();
        if total == 0 {
            continue;
        }
        let limits = ClaimLimits { total, per_host: shared.limits.per_host(), under_way: in_flight };
        shared.overflowed.store(false, Ordering::Relaxed);
        match store.claim(limits).await {
            Ok(jobs) => {
                failures = 0;
                if !jobs.is_empty() {
                    // More callbacks may be due than permits were free.
                    shared.overflowed.store(true, Ordering::Relaxed);
                }
                let unstarted = dispatcher.start(jobs);
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

/// Releases jobs that got no permit to the store. After a failure they are due when their leases expire.
pub(crate) async fn release(store: &dyn Store, jobs: Vec<CallbackJob>) {
    if jobs.is_empty() {
        return;
    }
    let jobs = jobs.iter().map(|job| (job.request_id, job.attempt)).collect();
    if let Err(error) = store.release(jobs).await {
        warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not release callbacks; their leases will expire");
    }
}

#[cfg(test)]
mod tests;
