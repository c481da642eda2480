//! Acks and releases, many per call.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::PullEngineState;
use super::in_flight::{LeaseOutcome, MessageLease};
use super::service::{AckRetry, LeaseReceipt, PullService, PullServiceError, ReceiptFailure};
use chargegate_storage::Batcher;
use chargegate_storage::QueueError;
use chargegate_storage::metric;
use chargegate_storage::queue::MessageKey;

/// Maximum number of concurrent ack calls.
const MAX_CALLS: usize = 8;
/// Time after the next ack attempt during which nothing is received: while acks fail, received messages would only
/// be delivered again and again.
const RECEIVE_DELAY: Duration = Duration::from_secs(1);

/// The action in log lines.
const ACTION: &str = "acknowledge messages";

/// A lease to end.
#[derive(Debug)]
pub(super) struct AckJob {
    key: MessageKey,
    outcome: LeaseOutcome,
    lease: MessageLease,
    done: oneshot::Sender<Result<(), PullServiceError>>,
}

/// Ends the leases of `inbox` in full batches, or one batch per linger, until it is closed and empty.
pub(super) async fn run<S: PullService>(state: Arc<PullEngineState<S>>, inbox: mpsc::Receiver<AckJob>) {
    let mut batches = Batcher::new(inbox, state.settings.ack_batch, state.settings.linger);
    let slots = Arc::new(Semaphore::new(MAX_CALLS));
    let mut calls = JoinSet::new();
    // Batches fill while all slots are in use.
    while let Ok(permit) = Arc::clone(&slots).acquire_owned().await {
        let Some(batch) = batches.next().await else { break };
        let state = Arc::clone(&state);
        calls.spawn(async move {
            state.end_batch(batch).await;
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

impl<S: PullService> PullEngineState<S> {
    /// Ends the leases of those messages that are in flight; returns when all have ended.
    pub(super) async fn end_leases(
        &self,
        keys: Vec<MessageKey>,
        outcome: LeaseOutcome,
    ) -> Result<(), QueueError> {
        let mut results = Vec::new();
        for key in keys {
            let Some(lease) = self.in_flight.begin_end(&key, outcome) else { continue };
            let (done, result) = oneshot::channel();
            let job = AckJob { key, outcome, lease, done };
            let acks = self.acks.lock().clone();
            acks.ok_or(QueueError::Closed)?.send(job).await.map_err(|_| QueueError::Closed)?;
            results.push(result);
        }
        let mut end = Ok(());
        for result in results {
            match result.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => end = Err(error.into()),
                Err(_) => end = Err(QueueError::Closed),
            }
        }
        end
    }

    /// Ends leases; after failures as the service's [`AckRetry`] says.
    async fn end_batch(&self, mut jobs: Vec<AckJob>) {
        loop {
            while let Err(throttled) = self.throttle.check() {
                let opens = self.throttle.until();
                jobs = self.fail_unretryable(jobs, opens, &throttled);
                if jobs.is_empty() {
                    return;
                }
                sleep_until(opens).await;
            }
            self.renew_leases(&mut jobs);
            let receipts = |outcome| -> Vec<LeaseReceipt> {
                let jobs = jobs.iter().filter(|job| job.outcome == outcome);
                jobs.map(|job| job.lease.receipt.clone()).collect()
            };
            let (acked, released) = (receipts(LeaseOutcome::Ack), receipts(LeaseOutcome::Release));
            let begun = Instant::now();
            let result = self.call("settle", self.service.ack_and_release(&acked, &released)).await;
            let (again, error) = match result {
                Ok(failed) => {
                    let ended =
                        failed.iter().filter(|failed| failed.reason == ReceiptFailure::LeaseEnded).count();
                    metric::queue_leases_expired(ended);
                    let transient = failed.into_iter().filter(|it| it.reason == ReceiptFailure::Transient);
                    let transient: HashSet<LeaseReceipt> = transient.map(|failed| failed.receipt).collect();
                    jobs = self.finish(jobs, &transient);
                    if transient.is_empty() {
                        Self::note_success(ACTION, &self.ack_outage);
                        if jobs.is_empty() {
                            return;
                        }
                        // The rest was delivered again while its leases were being ended.
                        continue;
                    }
                    let error = PullServiceError::unavailable("some messages could not be acknowledged");
                    (self.note_failure(ACTION, &self.ack_outage, begun, &error), error)
                }
                Err(error) => {
                    let again = self.note_failure(ACTION, &self.ack_outage, begun, &error);
                    if self.settings.ack_retry == AckRetry::WhileLeased {
                        self.prefetcher.hold_off(error.clone(), again + RECEIVE_DELAY);
                    }
                    (again, error)
                }
            };
            jobs = self.fail_unretryable(jobs, again, &error);
            if jobs.is_empty() {
                return;
            }
            sleep_until(again).await;
        }
    }

    /// Removes messages whose leases have ended; returns the jobs that are not done.
    fn finish(&self, jobs: Vec<AckJob>, failed: &HashSet<LeaseReceipt>) -> Vec<AckJob> {
        let before = jobs.len();
        let mut left = Vec::new();
        for job in jobs {
            // A message that was delivered again since its release began has a new holder, who ends the new lease.
            let is_ended = |job: &AckJob| {
                self.in_flight.remove(&job.key, &job.lease.receipt) || job.outcome == LeaseOutcome::Release
            };
            if !failed.contains(&job.lease.receipt) && is_ended(&job) {
                let _ = job.done.send(Ok(()));
            } else {
                left.push(job);
            }
        }
        self.prefetcher.note_freed(before - left.len());
        left
    }

    /// Switches to the newest leases: a message may have been delivered again meanwhile, or its lease extended.
    fn renew_leases(&self, jobs: &mut [AckJob]) {
        for job in jobs {
            if let Some(lease) = self.in_flight.renewed(&job.key).filter(|_| job.outcome == LeaseOutcome::Ack)
            {
                job.lease = lease;
            }
        }
    }

    /// Fails the jobs that cannot be retried at `again`; returns the others.
    fn fail_unretryable(
        &self,
        mut jobs: Vec<AckJob>,
        again: Instant,
        error: &PullServiceError,
    ) -> Vec<AckJob> {
        self.renew_leases(&mut jobs);
        let (retryable, over): (Vec<_>, Vec<_>) = match self.settings.ack_retry {
            AckRetry::WhileLeased => jobs.into_iter().partition(|job| job.lease.until > again),
            AckRetry::Never => (Vec::new(), jobs),
        };
        self.prefetcher.note_freed(over.len());
        for job in over {
            self.in_flight.abandon(&job.key);
            let _ = job.done.send(Err(error.clone()));
        }
        retryable
    }
}

#[cfg(test)]
mod tests;
