//! Ending leases, many with one call.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::held::{Lease, Outcome};
use super::service::{Cause, Receipt, Service, ServiceError};
use super::{Shared, lock};
use chargegate_storage::EngineError;
use chargegate_storage::Gather;
use chargegate_storage::metric;
use chargegate_storage::queue::MessageKey;

/// Calls that end leases at the same time, at most.
const CALLS: usize = 8;
/// How long nothing is asked for beyond the next attempt to end leases that could not be ended: while that does not
/// work, what is received would only come again and again.
const AFTER_ATTEMPT: Duration = Duration::from_secs(1);

/// For the log.
const WHAT: &str = "end leases";

/// A lease to be ended.
#[derive(Debug)]
pub(super) struct Job {
    key: MessageKey,
    outcome: Outcome,
    lease: Lease,
    done: oneshot::Sender<Result<(), ServiceError>>,
}

/// Ends leases in full batches, or a batch per linger, until nothing more can come.
pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>, inbox: mpsc::Receiver<Job>) {
    let mut inbox = Gather::new(inbox, shared.terms.settle_batch, shared.terms.linger);
    let room = Arc::new(Semaphore::new(CALLS));
    let mut calls = JoinSet::new();
    // While calls are busy, batches fill.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Some(batch) = inbox.next().await else { break };
        let shared = Arc::clone(&shared);
        calls.spawn(async move {
            shared.settle_batch(batch).await;
            drop(permit);
        });
        while let Some(ended) = calls.try_join_next() {
            if ended.is_err() {
                return;
            }
        }
    }
    while calls.join_next().await.is_some() {}
}

impl<S: Service> Shared<S> {
    /// Ends the leases of those among the messages that are held; comes back when all have ended.
    pub(super) async fn settle(&self, keys: Vec<MessageKey>, outcome: Outcome) -> Result<(), EngineError> {
        let mut results = Vec::new();
        for key in keys {
            let Some(lease) = self.held.end(&key, outcome) else { continue };
            let (done, result) = oneshot::channel();
            let job = Job { key, outcome, lease, done };
            let inbox = lock(&self.settlements).clone();
            inbox.ok_or(EngineError::Closed)?.send(job).await.map_err(|_| EngineError::Closed)?;
            results.push(result);
        }
        let mut end = Ok(());
        for result in results {
            match result.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => end = Err(error.into()),
                Err(_) => end = Err(EngineError::Closed),
            }
        }
        end
    }

    /// Ends leases, again and again while they last.
    async fn settle_batch(&self, mut jobs: Vec<Job>) {
        loop {
            while let Err(closed) = self.gate.check() {
                let opens = self.gate.until();
                jobs = self.give_up(jobs, opens, &closed);
                if jobs.is_empty() {
                    return;
                }
                sleep_until(opens).await;
            }
            self.renew(&mut jobs);
            let receipts = |outcome| -> Vec<Receipt> {
                let jobs = jobs.iter().filter(|job| job.outcome == outcome);
                jobs.map(|job| job.lease.receipt.clone()).collect()
            };
            let (done, back) = (receipts(Outcome::Done), receipts(Outcome::Back));
            let begun = Instant::now();
            let result = self.call("settle", self.service.settle(&done, &back)).await;
            let (again, error) = match result {
                Ok(unsettled) => {
                    let over = unsettled.iter().filter(|one| one.cause == Cause::Over).count();
                    metric::queue_leases_expired(over);
                    let failed = unsettled.into_iter().filter(|one| one.cause == Cause::Failed);
                    let failed: HashSet<Receipt> = failed.map(|one| one.receipt).collect();
                    jobs = self.finish(jobs, &failed);
                    if failed.is_empty() {
                        Self::worked(WHAT, &self.settling);
                        if jobs.is_empty() {
                            return;
                        }
                        // They came again while their leases were ended.
                        continue;
                    }
                    let error = ServiceError::unavailable("some leases could not be ended");
                    (self.failed(WHAT, &self.settling, begun, &error), error)
                }
                Err(error) => {
                    let again = self.failed(WHAT, &self.settling, begun, &error);
                    self.intake.hold_off(error.clone(), again + AFTER_ATTEMPT);
                    (again, error)
                }
            };
            jobs = self.give_up(jobs, again, &error);
            if jobs.is_empty() {
                return;
            }
            sleep_until(again).await;
        }
    }

    /// Lets go of what was settled; gives what was not.
    fn finish(&self, jobs: Vec<Job>, failed: &HashSet<Receipt>) -> Vec<Job> {
        let before = jobs.len();
        let mut left = Vec::new();
        for job in jobs {
            if failed.contains(&job.lease.receipt) || !self.held.let_go(&job.key, &job.lease.receipt) {
                left.push(job);
            } else {
                let _ = job.done.send(Ok(()));
            }
        }
        self.intake.free(before - left.len());
        left
    }

    /// Takes up the newest leases: messages may have come again meanwhile, or their leases may have been extended.
    fn renew(&self, jobs: &mut [Job]) {
        for job in jobs {
            if let Some(lease) = self.held.renewed(&job.key).filter(|_| job.outcome == Outcome::Done) {
                job.lease = lease;
            }
        }
    }

    /// Gives up what cannot be tried again before its lease is over; gives the rest.
    fn give_up(&self, mut jobs: Vec<Job>, again: Instant, error: &ServiceError) -> Vec<Job> {
        self.renew(&mut jobs);
        let (left, over): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.lease.until > again);
        self.intake.free(over.len());
        for job in over {
            self.held.give_up(&job.key);
            let _ = job.done.send(Err(error.clone()));
        }
        left
    }
}
