//! The order of the worker's steps: lease, decide, record, acknowledge, deliver.
//!
//! 1. **Lease** no more messages than the window has room for, so that a backlog stays in the queue.
//! 2. **Decide** each on its own ([`decide`]): decode, wait for a slot until the shed time, ask, or shed.
//! 3. **Record** decisions and callback intents in one transaction, again and again until the store takes them.
//! 4. **Acknowledge** the messages. A crash before this delivers them again, and step 3 finds them recorded.
//! 5. **Deliver** the callbacks that step 3 leased to us; those without a place go back to the store.
//!
//! A message keeps its place in the window from 1 to 4, so nothing is leased that could not be decided or shed in
//! time. While the store is down nothing more is leased at all.

mod decide;

use std::num::NonZeroUsize;
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
use crate::authorizer::Authorizer;
use crate::callback::{self, Dispatcher};
use crate::metric;
use crate::persist::Persist;
use chargegate_storage::Effects;
use chargegate_storage::Gather;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Queue};
use chargegate_storage::store::{Outcome, Recorded, Store};

/// The longest wait of one lease, and so of a stop that finds the queue empty.
const LEASE_WAIT: Duration = Duration::from_millis(500);
/// Messages recorded in one transaction at most.
const RECORD_BATCH: usize = 256;

/// How messages are decided.
#[derive(Clone, Copy, Debug)]
pub struct PipelineSettings {
    /// Messages leased and not yet acknowledged at most.
    pub window: NonZeroUsize,
    /// Calls to the authorization service in flight at most, retries included.
    pub slots: NonZeroUsize,
    /// The times a decision keeps to.
    pub rules: DecisionRules,
    /// Under load, decisions are recorded in one transaction per this time.
    pub pace: Duration,
}

/// The engines and peers a pipeline works with.
#[derive(Clone)]
pub struct Parts {
    /// Where messages come from.
    pub queue: Arc<dyn Queue>,
    /// Where decisions go.
    pub store: Arc<dyn Store>,
    /// Who is asked.
    pub authorizer: Arc<dyn Authorizer>,
    /// Time and randomness.
    pub effects: Effects,
}

/// A message on its way through the window.
struct Passage {
    outcome: Outcome,
    /// When its commit is late.
    due: Instant,
    /// Its place in the window, free again when dropped.
    place: Place,
}

/// A place in the window.
struct Place {
    _permit: OwnedSemaphorePermit,
    _gauge: metric::UnderWay,
}

/// A running pipeline.
pub(crate) struct Pipeline {
    stop: CancellationToken,
    puller: JoinHandle<()>,
    recorder: JoinHandle<()>,
}

impl Pipeline {
    /// Starts leasing. Writing is given up only when `abandon` is cancelled.
    pub(crate) fn start(
        settings: PipelineSettings,
        parts: Parts,
        dispatcher: Dispatcher,
        abandon: CancellationToken,
    ) -> Self {
        let stop = CancellationToken::new();
        let (outcomes, inbox) = mpsc::channel(settings.window.get());
        let (store_works, watch_store) = watch::channel(true);
        let persist = Persist::new(parts.effects.clone(), abandon);
        // Without a recorder, however it ended, there is nothing to lease messages for.
        let end = stop.clone().drop_guard();
        let inbox = Gather::new(inbox, RECORD_BATCH, settings.pace);
        let recording = record(inbox, parts.clone(), dispatcher, persist, store_works);
        let recorder = tokio::spawn(async move {
            let _end = end;
            recording.await;
        });
        let puller = tokio::spawn(pull(settings, parts, outcomes, watch_store, stop.clone()));
        Self { stop, puller, recorder }
    }

    /// Whether both halves still run: they end only when told to, or when the engine says that trying is pointless.
    pub(crate) fn is_running(&self) -> bool {
        !self.puller.is_finished() && !self.recorder.is_finished()
    }

    /// Waits until it no longer leases, for whatever cause.
    pub(crate) async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Leases nothing more, hands back what no call was begun for, and waits until the rest is acknowledged.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.puller.await;
        let _ = self.recorder.await;
    }
}

/// Leases messages and decides each in a task of its own.
async fn pull(
    settings: PipelineSettings,
    parts: Parts,
    outcomes: mpsc::Sender<Passage>,
    store_works: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    // A stop does not wait for a queue that is down.
    let persist = Persist::new(parts.effects.clone(), stop.clone());
    let size = settings.window.get();
    let window = Arc::new(Semaphore::new(size));
    let decider = Arc::new(Decider::new(settings, &parts, stop.clone()));
    let tasks = TaskTracker::new();
    let (returns, returned) = mpsc::channel(size);

    while !stop.is_cancelled() {
        let Some(mut places) = room(&window, store_works.clone(), &stop).await else { break };
        let max = places.num_permits();
        let Some(leased) = persist.until_done("lease messages", || parts.queue.lease(max, LEASE_WAIT)).await
        else {
            break;
        };
        for message in leased {
            // An engine that gives more than it was asked for is not asked to take it back: its lease ends.
            let Some(permit) = places.split(1) else { break };
            let place = Place { _permit: permit, _gauge: metric::under_way("chargegate_window_in_use") };
            tasks.spawn(pass(message, place, Arc::clone(&decider), outcomes.clone(), returns.clone()));
        }
    }
    // Whether told to or because of the engine: what waits for a slot goes back.
    stop.cancel();
    // Not before the last lease has ended: it would take what was handed back.
    let handing_back = tokio::spawn(hand_back(returned, Arc::clone(&parts.queue)));
    tasks.close();
    tasks.wait().await;
    drop(returns);
    let _ = handing_back.await;
}

/// Every free place in the window, at least one, once the store works; `None` when stopped first.
async fn room(
    window: &Arc<Semaphore>,
    mut store_works: watch::Receiver<bool>,
    stop: &CancellationToken,
) -> Option<OwnedSemaphorePermit> {
    let some = async {
        let place = Arc::clone(window).acquire_owned().await.ok()?;
        store_works.wait_for(|works| *works).await.ok()?;
        Some(place)
    };
    let mut places = tokio::select! {
        place = some => place?,
        () = stop.cancelled() => return None,
    };
    let more = u32::try_from(window.available_permits()).unwrap_or(u32::MAX);
    if let Ok(more) = Arc::clone(window).try_acquire_many_owned(more) {
        places.merge(more);
    }
    Some(places)
}

async fn pass(
    message: LeasedMessage,
    place: Place,
    decider: Arc<Decider>,
    outcomes: mpsc::Sender<Passage>,
    returns: mpsc::Sender<MessageKey>,
) {
    let key = message.key.clone();
    match decider.decide(message).await {
        Some((outcome, due)) => {
            let _ = outcomes.send(Passage { outcome, due, place }).await;
        }
        None => {
            let _ = returns.send(key).await;
        }
    }
}

/// Hands back the messages of a stopping worker.
async fn hand_back(mut returned: mpsc::Receiver<MessageKey>, queue: Arc<dyn Queue>) {
    let mut keys = Vec::new();
    while returned.recv_many(&mut keys, RECORD_BATCH).await > 0 {
        if let Err(error) = queue.release(std::mem::take(&mut keys)).await {
            warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not hand back messages; their leases will end");
        }
    }
}

/// Records in batches: while one batch commits, the next gathers, and those before are acknowledged.
async fn record(
    mut inbox: Gather<Passage>,
    parts: Parts,
    dispatcher: Dispatcher,
    persist: Persist,
    store_works: watch::Sender<bool>,
) {
    // As many as the window has room for: a queue far away may take its time, and bring many together.
    let acknowledging = TaskTracker::new();
    acknowledging.close();
    while let Some(batch) = inbox.next().await {
        let (mut outcomes, mut dues, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for Passage { outcome, due, place } in batch {
            outcomes.push(outcome);
            dues.push(due);
            places.push(place);
        }
        let keys: Vec<_> = outcomes.iter().map(|outcome| outcome.key().clone()).collect();
        let written = persist.until_done("record decisions", || {
            // The deadline is the commit's: a write that had to be repeated may have become late.
            mark_late(&mut outcomes, &dues);
            let recording = parts.store.record(outcomes.clone());
            async {
                let recorded = recording.await;
                store_works
                    .send_if_modified(|works| std::mem::replace(works, recorded.is_ok()) != recorded.is_ok());
                recorded
            }
        });
        let written = written.await;
        let Some(recorded) = written else {
            // Their leases end, or the restart releases them: nothing is lost by leaving.
            warn!(messages = keys.len(), "left messages undecided");
            break;
        };
        // Deciding is over: the callbacks need not wait for the acknowledgement.
        let jobs = count(&outcomes, recorded);
        let left = dispatcher.start(jobs);
        let parts = parts.clone();
        acknowledging.spawn(async move {
            let acknowledged = async {
                if let Err(error) = parts.queue.acknowledge(keys).await {
                    warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not acknowledge messages; they come again");
                }
            };
            tokio::join!(acknowledged, callback::release(parts.store.as_ref(), left));
            drop(places);
        });
    }
    acknowledging.wait().await;
}

fn mark_late(outcomes: &mut [Outcome], dues: &[Instant]) {
    let now = Instant::now();
    for (outcome, due) in outcomes.iter_mut().zip(dues) {
        if let Outcome::Decided(decided) = outcome {
            decided.late |= now > *due;
        }
    }
}

/// Counts what became of a batch and takes out the callbacks to deliver.
fn count(outcomes: &[Outcome], recorded: Vec<Recorded>) -> Vec<chargegate_storage::store::CallbackJob> {
    let mut jobs = Vec::new();
    for (outcome, recorded) in outcomes.iter().zip(recorded) {
        match (outcome, recorded) {
            (Outcome::Decided(decided), Recorded::Decided(job)) => {
                let age = decided.decided_at.since(decided.message.accepted_at);
                metric::decision(decided.decision, age, decided.late);
                jobs.push(job);
            }
            (_, Recorded::Duplicate { .. }) => metric::duplicate(),
            (_, Recorded::Redelivered) => metric::redelivered(),
            (Outcome::Poison(poison), _) => metric::poison(poison.reason.as_str()),
            (Outcome::Decided(_), Recorded::Poison) => {}
        }
    }
    jobs
}

#[cfg(test)]
mod tests;
