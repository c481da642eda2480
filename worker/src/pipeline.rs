//! The order of the worker's steps: lease, decide, record, acknowledge, deliver.
//!
//! 1. **Lease** at most as many messages as the window has permits, so that a backlog stays in the queue.
//! 2. **Decide** each message in its own task ([`decide`]): decode, wait for a slot until the shed time, call, or shed.
//! 3. **Record** decisions and callback intents in one transaction, retried until the store commits it.
//! 4. **Acknowledge** the messages. After a crash before this step they are delivered again, and step 3 finds them
//!    recorded.
//! 5. **Deliver** the callbacks that step 3 leased to this worker; those without a permit are released to the store.
//!
//! A message keeps its window permit from step 1 to step 4, so every leased message can be decided or shed in time.
//! While the store is down, nothing is leased.

mod decide;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::DecisionRules;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::decide::Decider;
use crate::acl_gate::AclGate;
use crate::authorizer::Authorizer;
use crate::callback::{self, Dispatcher};
use crate::metric;
use crate::retry_until_done::RetryUntilDone;
use crate::share_renewal::ShareRenewer;
use chargegate_storage::Batcher;
use chargegate_storage::Effects;
use chargegate_storage::fleet::FleetStore;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Queue};
use chargegate_storage::store::{CallbackJob, Outcome, RecordVerdict, Store};

/// Longest wait of one lease call; bounds a shutdown that finds the queue empty.
const LEASE_WAIT: Duration = Duration::from_millis(500);
/// Most messages recorded in one transaction.
const MAX_RECORD_BATCH: usize = 256;

/// Settings for deciding messages.
#[derive(Clone, Copy, Debug)]
pub struct PipelineSettings {
    /// Most messages leased and not yet acknowledged.
    pub window: NonZeroUsize,
    /// Most calls to the authorization service in flight over all workers of the store, retries included.
    pub slots: NonZeroU32,
    /// Deadline and call timeout of a decision.
    pub rules: DecisionRules,
    /// Shortest time between two transactions that record decisions, so that batches grow under load.
    pub record_interval: Duration,
}

/// Engines and peers of a worker.
#[derive(Clone)]
pub struct WorkerDependencies {
    /// Source of messages.
    pub queue: Arc<dyn Queue>,
    /// Destination of decisions and callbacks.
    pub store: Arc<dyn Store>,
    /// The state that the workers of the store share to protect the authorization service.
    pub fleet: Arc<dyn FleetStore>,
    /// Client of the authorization service.
    pub authorizer: Arc<dyn Authorizer>,
    /// Clock and randomness.
    pub effects: Effects,
}

/// A decided message that is not yet acknowledged.
struct InFlightMessage {
    outcome: Outcome,
    /// A commit after this instant is late.
    commit_deadline: Instant,
    permit: WindowPermit,
}

/// One of the window's permits, returned on drop.
struct WindowPermit {
    _permit: OwnedSemaphorePermit,
    _gauge: metric::GaugeGuard,
}

/// A running pipeline.
pub(crate) struct Pipeline {
    stop: CancellationToken,
    lease_task: JoinHandle<()>,
    record_task: JoinHandle<()>,
    renewal_task: JoinHandle<()>,
    stop_renewal: CancellationToken,
}

impl Pipeline {
    /// Starts leasing. Writes are retried until `abandon` is cancelled.
    pub(crate) fn start(
        settings: PipelineSettings,
        parts: WorkerDependencies,
        dispatcher: Dispatcher,
        abandon: CancellationToken,
    ) -> Self {
        let stop = CancellationToken::new();
        let (outcomes, inbox) = mpsc::channel(settings.window.get());
        let (store_works, watch_store) = watch::channel(true);
        let retry = RetryUntilDone::new(parts.effects.clone(), abandon);
        // When recording ends for any reason, a panic included, leasing must stop too.
        let stop_guard = stop.clone().drop_guard();
        let inbox = Batcher::new(inbox, MAX_RECORD_BATCH, settings.record_interval);
        let recording = record(inbox, parts.clone(), dispatcher, retry, store_works);
        let record_task = tokio::spawn(async move {
            let _stop_guard = stop_guard;
            recording.await;
        });
        let call_timeout = settings.rules.call_timeout();
        let gate = AclGate::new(call_timeout);
        let fleet = Arc::clone(&parts.fleet);
        let renewer =
            ShareRenewer::new(gate.clone(), settings.slots, call_timeout, fleet, parts.effects.clone());
        let stop_renewal = CancellationToken::new();
        let renewal = renewer.run(stop_renewal.clone());
        // Without renewals no call begins, so leasing must stop too.
        let renewal_guard = stop.clone().drop_guard();
        let renewal_task = tokio::spawn(async move {
            let _renewal_guard = renewal_guard;
            renewal.await;
        });
        let leasing = lease_and_decide(settings, parts, gate, outcomes, watch_store, stop.clone());
        let lease_task = tokio::spawn(leasing);
        Self { stop, lease_task, record_task, renewal_task, stop_renewal }
    }

    /// Returns whether every task runs. They end on a stop, or when an engine reports a permanent failure.
    pub(crate) fn is_running(&self) -> bool {
        let tasks = [&self.lease_task, &self.record_task, &self.renewal_task];
        !tasks.into_iter().any(JoinHandle::is_finished)
    }

    /// Waits until leasing has ended for any reason.
    pub(crate) async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Stops leasing, releases messages without a call in progress, and waits until the others are acknowledged.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.lease_task.await;
        // Calls are over: other workers may use the share.
        self.stop_renewal.cancel();
        let _ = tokio::join!(self.record_task, self.renewal_task);
    }
}

/// Leases messages and decides each in its own task.
async fn lease_and_decide(
    settings: PipelineSettings,
    parts: WorkerDependencies,
    gate: AclGate,
    outcomes: mpsc::Sender<InFlightMessage>,
    store_works: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    // Shutdown does not wait for a queue that is down.
    let retry = RetryUntilDone::new(parts.effects.clone(), stop.clone());
    let size = settings.window.get();
    let window = Arc::new(Semaphore::new(size));
    let may_lease = gate.watch_leasing();
    let decider = Arc::new(Decider::new(settings, &parts, gate, stop.clone()));
    let tasks = TaskTracker::new();
    let (releases, release_queue) = mpsc::channel(size);

    while !stop.is_cancelled() {
        let open = (store_works.clone(), may_lease.clone());
        let Some(mut permits) = acquire_window_permits(&window, open, &stop).await else {
            break;
        };
        let max = permits.num_permits();
        let Some(leased) = retry.run("lease messages", || parts.queue.lease(max, LEASE_WAIT)).await else {
            break;
        };
        for message in leased {
            // Messages beyond `max` are dropped, not released: their leases expire.
            let Some(permit) = permits.split(1) else { break };
            let permit = WindowPermit { _permit: permit, _gauge: metric::track(metric::WINDOW_IN_USE) };
            tasks.spawn(decide_one(
                message,
                permit,
                Arc::clone(&decider),
                outcomes.clone(),
                releases.clone(),
            ));
        }
    }
    // On a shutdown and on a permanent engine failure alike, messages that wait for a slot are released.
    stop.cancel();
    // Only after the last lease call: it would lease the released messages again.
    let releasing = tokio::spawn(release_undecided(release_queue, Arc::clone(&parts.queue)));
    tasks.close();
    tasks.wait().await;
    drop(releases);
    let _ = releasing.await;
}

/// Acquires every free permit of the window, at least one, once the store works and this worker has a share of the calls.
/// Returns `None` when stopped first.
async fn acquire_window_permits(
    window: &Arc<Semaphore>,
    (mut store_works, mut may_lease): (watch::Receiver<bool>, watch::Receiver<bool>),
    stop: &CancellationToken,
) -> Option<OwnedSemaphorePermit> {
    let first = async {
        let permit = Arc::clone(window).acquire_owned().await.ok()?;
        store_works.wait_for(|works| *works).await.ok()?;
        may_lease.wait_for(|may_lease| *may_lease).await.ok()?;
        Some(permit)
    };
    let mut permits = tokio::select! {
        permit = first => permit?,
        () = stop.cancelled() => return None,
    };
    let more = u32::try_from(window.available_permits()).unwrap_or(u32::MAX);
    if let Ok(more) = Arc::clone(window).try_acquire_many_owned(more) {
        permits.merge(more);
    }
    Some(permits)
}

/// Decides one message and passes the outcome on, or its key when the worker stops first.
async fn decide_one(
    message: LeasedMessage,
    permit: WindowPermit,
    decider: Arc<Decider>,
    outcomes: mpsc::Sender<InFlightMessage>,
    releases: mpsc::Sender<MessageKey>,
) {
    let key = message.key.clone();
    match decider.decide(message).await {
        Some((outcome, commit_deadline)) => {
            let _ = outcomes.send(InFlightMessage { outcome, commit_deadline, permit }).await;
        }
        None => {
            let _ = releases.send(key).await;
        }
    }
}

/// Releases the undecided messages of a stopping worker.
async fn release_undecided(mut keys_to_release: mpsc::Receiver<MessageKey>, queue: Arc<dyn Queue>) {
    let mut keys = Vec::new();
    while keys_to_release.recv_many(&mut keys, MAX_RECORD_BATCH).await > 0 {
        if let Err(error) = queue.release(std::mem::take(&mut keys)).await {
            warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not release messages; their leases will expire");
        }
    }
}

/// Records outcomes in batches: while one batch commits, the next one collects, and earlier ones are acknowledged.
async fn record(
    mut inbox: Batcher<InFlightMessage>,
    parts: WorkerDependencies,
    dispatcher: Dispatcher,
    retry: RetryUntilDone,
    store_works: watch::Sender<bool>,
) {
    // Bounded by the window alone: with a distant queue many acknowledgements are in flight at a time.
    let acknowledging = TaskTracker::new();
    acknowledging.close();
    while let Some(batch) = inbox.next().await {
        let (mut outcomes, mut deadlines, mut permits) = (Vec::new(), Vec::new(), Vec::new());
        for InFlightMessage { outcome, commit_deadline, permit } in batch {
            outcomes.push(outcome);
            deadlines.push(commit_deadline);
            permits.push(permit);
        }
        let recorded =
            record_until_done(parts.store.as_ref(), &mut outcomes, &deadlines, &retry, &store_works).await;
        let Some(verdicts) = recorded else {
            // Nothing is lost: the leases expire, or the restart releases the messages.
            warn!(
                messages = outcomes.len(),
                "shutdown before the decisions were recorded; leases will expire"
            );
            break;
        };
        let keys = outcomes.iter().map(|outcome| outcome.key().clone()).collect();
        // The decisions are committed: callbacks do not wait for the acknowledgement.
        let unstarted = dispatcher.start(count_recorded(outcomes, verdicts));
        let parts = parts.clone();
        acknowledging.spawn(async move {
            let acknowledged = async {
                if let Err(error) = parts.queue.ack(keys).await {
                    warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not acknowledge messages; they will be delivered again");
                }
            };
            tokio::join!(acknowledged, callback::release(parts.store.as_ref(), unstarted));
            drop(permits);
        });
    }
    acknowledging.wait().await;
}

/// Records a batch, however often the store fails. Returns `None` when the store is not to be asked again.
async fn record_until_done(
    store: &dyn Store,
    outcomes: &mut [Outcome],
    deadlines: &[Instant],
    retry: &RetryUntilDone,
    store_works: &watch::Sender<bool>,
) -> Option<Vec<RecordVerdict>> {
    let mut failures = retry.failures("record decisions");
    loop {
        // The deadline applies to the commit: a retried write may have become late.
        mark_late(outcomes, deadlines);
        let recorded = store.record(outcomes).await;
        store_works.send_if_modified(|works| std::mem::replace(works, recorded.is_ok()) != recorded.is_ok());
        match recorded {
            Ok(verdicts) => return Some(verdicts),
            Err(error) => failures.wait_after(error).await?,
        }
    }
}

fn mark_late(outcomes: &mut [Outcome], deadlines: &[Instant]) {
    let now = Instant::now();
    for (outcome, deadline) in outcomes.iter_mut().zip(deadlines) {
        if let Outcome::Decided(decided) = outcome {
            decided.late |= now > *deadline;
        }
    }
}

/// Counts the verdicts on a batch in the metrics and returns the callbacks to deliver.
fn count_recorded(outcomes: Vec<Outcome>, verdicts: Vec<RecordVerdict>) -> Vec<CallbackJob> {
    let mut jobs = Vec::new();
    for (outcome, verdict) in outcomes.into_iter().zip(verdicts) {
        match (outcome, verdict) {
            (Outcome::Decided(decided), RecordVerdict::Decided | RecordVerdict::DecidedPaused) => {
                let age = decided.decided_at.since(decided.message.accepted_at);
                metric::decision(decided.decision, age, decided.late);
                if verdict == RecordVerdict::Decided {
                    jobs.push(CallbackJob::first_attempt(decided));
                }
            }
            (_, RecordVerdict::Duplicate { .. }) => metric::duplicate(),
            (_, RecordVerdict::Redelivered) => metric::redelivered(),
            (Outcome::Poison(poison), _) => metric::poison(poison.reason.as_str()),
            (Outcome::Decided(_), RecordVerdict::Poison) => {}
        }
    }
    jobs
}

#[cfg(test)]
mod tests;
