//! Delivering callbacks: at once where there is a place, else from the store when it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chargegate_core::{AttemptOutcome, NextAttempt, RetryPolicy, full_jitter};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::client::{Attempt, CallbackClient};
use super::hosts::{Hosts, Place};
use crate::metric;
use crate::persist::Persist;
use chargegate_storage::Effects;
use chargegate_storage::Gather;
use chargegate_storage::spawn_watched;
use chargegate_storage::store::{
    AfterAttempt, AttemptReport, AttemptResult, CallbackJob, ClaimLimits, Store,
};

/// The longest wait after claims that failed.
const CLAIM_RETRY_CAP: Duration = Duration::from_secs(5);
/// Attempts reported in one transaction at most.
const REPORT_BATCH: usize = 256;

/// How callbacks are delivered.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Attempts under way at once.
    pub concurrency: usize,
    /// Attempts under way at once for one host.
    pub per_host: usize,
    /// How often the store is asked for what is due.
    pub poll: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Under load, attempts are reported in one transaction per this time.
    pub pace: Duration,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            concurrency: 512,
            per_host: 64,
            poll: Duration::from_millis(250),
            retry: RetryPolicy::default(),
            pace: Duration::ZERO,
        }
    }
}

/// Starts attempts.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    reports: mpsc::Sender<(AttemptReport, Place)>,
}

struct Shared {
    client: CallbackClient,
    effects: Effects,
    hosts: Hosts,
    retry: RetryPolicy,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// A job found no place and waits in the store.
    overflowed: AtomicBool,
    place_freed: Notify,
}

/// The tasks behind a [`Dispatcher`].
pub(crate) struct Delivery {
    shared: Arc<Shared>,
    claimer: tokio::task::JoinHandle<()>,
    reporter: tokio::task::JoinHandle<()>,
}

impl Delivery {
    /// Starts claiming and reporting. `ended` is cancelled when one of both ends, by a panic too.
    #[must_use]
    pub(crate) fn start(
        client: CallbackClient,
        store: Arc<dyn Store>,
        settings: &DeliverySettings,
        effects: Effects,
        abandon: CancellationToken,
        ended: &CancellationToken,
    ) -> (Self, Dispatcher) {
        let shared = Arc::new(Shared {
            client,
            effects: effects.clone(),
            hosts: Hosts::new(settings.concurrency, settings.per_host),
            retry: settings.retry,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            overflowed: AtomicBool::new(false),
            place_freed: Notify::new(),
        });
        let (reports, inbox) = mpsc::channel(settings.concurrency.max(1));
        let dispatcher = Dispatcher { shared: Arc::clone(&shared), reports };
        let persist = Persist::new(effects, abandon);
        let inbox = Gather::new(inbox, REPORT_BATCH, settings.pace);
        let reporting = report(inbox, Arc::clone(&store), persist, Arc::clone(&shared));
        let reporter = spawn_watched(ended, reporting);
        let claimer = spawn_watched(ended, claim(dispatcher.clone(), store, settings.poll));
        (Self { shared, claimer, reporter }, dispatcher)
    }

    /// Claims nothing more and waits for the attempts under way, each bounded by its deadline, to be reported. The
    /// caller drops its [`Dispatcher`]s before.
    pub(crate) async fn stop(self) {
        self.shared.stop.cancel();
        let _ = self.claimer.await;
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let _ = self.reporter.await;
    }
}

impl Dispatcher {
    /// Starts the attempts there are places for and gives back the other jobs, to be released to the store.
    #[must_use]
    pub(crate) fn start(&self, jobs: Vec<CallbackJob>) -> Vec<CallbackJob> {
        let stopping = self.shared.stop.is_cancelled();
        let mut left = Vec::new();
        for job in jobs {
            match self.shared.hosts.take(job.callback_url.host_str()) {
                Some(place) if !stopping => self.attempt(job, place),
                _ => left.push(job),
            }
        }
        if !left.is_empty() {
            self.shared.overflowed.store(true, Ordering::Relaxed);
        }
        left
    }

    fn attempt(&self, job: CallbackJob, place: Place) {
        let shared = Arc::clone(&self.shared);
        let reports = self.reports.clone();
        self.shared.tasks.spawn(async move {
            let report = shared.attempt(&job).await;
            // The place is kept until the report is written: what is not recorded counts as under way.
            let _ = reports.send((report, place)).await;
        });
    }
}

impl Shared {
    async fn attempt(&self, job: &CallbackJob) -> AttemptReport {
        let started_at = self.effects.clock.now();
        let start = Instant::now();
        let _under_way = metric::under_way("chargegate_callbacks_under_way");
        let traceparent = job.traceparent.map(|trace| trace.child(self.effects.random.bits().to_be_bytes()));
        let Attempt { result, retry_after } = self.client.post(job, traceparent).await;
        let took = start.elapsed();

        let now = self.effects.clock.now();
        let outcome = match result {
            AttemptResult::Answered(status) => AttemptOutcome::Answered { status, retry_after },
            AttemptResult::Blocked => AttemptOutcome::Blocked,
            _ => AttemptOutcome::Failed,
        };
        let age = now.since(job.round_started_at);
        let next = self.retry.next_attempt(outcome, job.round_attempt, age, self.effects.random.jitter());
        metric::attempt(result, next, took);
        debug!(
            request.id = %job.request_id, attempt.n = job.attempt.get(), callback.host = job.callback_url.host_str(),
            result = result.as_str(), took_ms = took.as_millis(), "attempted a callback",
        );
        let next = match next {
            NextAttempt::Delivered => AfterAttempt::Delivered { at: now },
            NextAttempt::Retry { after } => AfterAttempt::Retry { due_at: now.plus(after) },
            NextAttempt::GiveUp(reason) => {
                warn!(
                    request.id = %job.request_id, attempt.n = job.attempt.get(),
                    callback.host = job.callback_url.host_str(), result = result.as_str(),
                    reason = reason.as_str(), "gave up a callback",
                );
                AfterAttempt::Dead { at: now, reason }
            }
        };
        AttemptReport { request_id: job.request_id, attempt: job.attempt, started_at, took, result, next }
    }
}

/// Writes reports in batches: while one batch commits, the next gathers.
async fn report(
    mut inbox: Gather<(AttemptReport, Place)>,
    store: Arc<dyn Store>,
    persist: Persist,
    shared: Arc<Shared>,
) {
    while let Some(batch) = inbox.next().await {
        let (reports, places): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        // What cannot be reported is attempted again when its lease ends: at least once.
        let _ = persist.until_done("report attempts", || store.report(reports.clone())).await;
        drop(places);
        if shared.overflowed.load(Ordering::Relaxed) {
            shared.place_freed.notify_one();
        }
    }
}

/// Starts what is due: retries, what found no place before, and what a crash left behind.
async fn claim(dispatcher: Dispatcher, store: Arc<dyn Store>, poll: Duration) {
    let shared = &dispatcher.shared;
    let mut ticks = tokio::time::interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = shared.place_freed.notified() => {}
        }
        let (total, under_way) = shared.hosts.snapshot();
        if total == 0 {
            continue;
        }
        let limits = ClaimLimits { total, per_host: shared.hosts.per_host(), under_way };
        shared.overflowed.store(false, Ordering::Relaxed);
        match store.claim(shared.effects.clock.now(), limits).await {
            Ok(jobs) => {
                failures = 0;
                if !jobs.is_empty() {
                    // More may be due than there were places for.
                    shared.overflowed.store(true, Ordering::Relaxed);
                }
                let left = dispatcher.start(jobs);
                release(store.as_ref(), left).await;
            }
            Err(error) => {
                let wait = full_jitter(poll, failures, CLAIM_RETRY_CAP, shared.effects.random.jitter());
                failures = failures.saturating_add(1);
                chargegate_storage::metric::engine_failure();
                warn!(
                    error = %error, cause = chargegate_storage::metric::cause(&error), retry_ms = wait.as_millis(),
                    "could not claim callbacks",
                );
                let _ = shared.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
}

/// Gives jobs that found no place back to the store; what fails comes back when its lease ends.
pub(crate) async fn release(store: &dyn Store, jobs: Vec<CallbackJob>) {
    if jobs.is_empty() {
        return;
    }
    let jobs = jobs.iter().map(|job| (job.request_id, job.attempt)).collect();
    if let Err(error) = store.release(jobs).await {
        warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not hand back callbacks; their leases will end");
    }
}

#[cfg(test)]
mod tests;
