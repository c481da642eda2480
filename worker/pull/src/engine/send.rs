//! Putting messages into the queue, several with one call where several wait.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::Shared;
use super::service::{Service, ServiceError};

/// Calls that enqueue at the same time, at most.
const CALLS: usize = 16;

/// A message to be enqueued.
pub(super) struct Job {
    pub(super) body: String,
    pub(super) done: oneshot::Sender<Result<(), ServiceError>>,
}

/// Enqueues what comes until nothing more can come.
pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>, mut inbox: mpsc::Receiver<Job>) {
    let room = Arc::new(Semaphore::new(CALLS));
    let mut calls = JoinSet::new();
    let mut waiting = None;
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let first = match waiting.take() {
            Some(job) => job,
            None => match inbox.recv().await {
                Some(job) => job,
                None => break,
            },
        };
        let batch;
        (batch, waiting) = fill(first, &mut inbox, &shared);
        let shared = Arc::clone(&shared);
        calls.spawn(async move {
            shared.send_batch(batch).await;
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

/// What waits already and fits into one call, and the first that does not.
fn fill<S>(first: Job, inbox: &mut mpsc::Receiver<Job>, shared: &Shared<S>) -> (Vec<Job>, Option<Job>) {
    let mut bytes = first.body.len();
    let mut batch = vec![first];
    while batch.len() < shared.terms.send_batch {
        let Ok(job) = inbox.try_recv() else { break };
        bytes = bytes.saturating_add(job.body.len());
        if bytes > shared.terms.send_bytes {
            return (batch, Some(job));
        }
        batch.push(job);
    }
    (batch, None)
}

impl<S: Service> Shared<S> {
    async fn send_batch(&self, jobs: Vec<Job>) {
        // Who gave up waiting was told that it failed.
        let jobs: Vec<_> = jobs.into_iter().filter(|job| !job.done.is_closed()).collect();
        if jobs.is_empty() {
            return;
        }
        let (bodies, waiting): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.body, job.done)).unzip();
        let results = match self.gate.check() {
            Ok(()) => self.call("send", self.service.send(&bodies)).await,
            closed => closed.map(|()| Vec::new()),
        };
        match results {
            Ok(results) => {
                // A result that is missing is a message of which nothing is known.
                for (done, result) in waiting.into_iter().zip(results) {
                    let _ = done.send(result);
                }
            }
            Err(error) => {
                for done in waiting {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }
}
