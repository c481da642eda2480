//! Sending messages, several per call where several wait.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::PullEngineState;
use super::service::{PullServiceError, SendService};

/// Maximum number of concurrent send calls.
const MAX_CALLS: usize = 16;

/// A message to send.
pub(super) struct SendJob {
    pub(super) body: String,
    pub(super) done: oneshot::Sender<Result<(), PullServiceError>>,
}

/// Sends the messages of `inbox` until it is closed and empty.
pub(super) async fn run<S: SendService>(state: Arc<PullEngineState<S>>, mut inbox: mpsc::Receiver<SendJob>) {
    let slots = Arc::new(Semaphore::new(MAX_CALLS));
    let mut calls = JoinSet::new();
    let mut waiting = None;
    while let Ok(permit) = Arc::clone(&slots).acquire_owned().await {
        let first = match waiting.take() {
            Some(job) => job,
            None => match inbox.recv().await {
                Some(job) => job,
                None => break,
            },
        };
        let batch;
        (batch, waiting) = fill_batch(first, &mut inbox, &state);
        let state = Arc::clone(&state);
        calls.spawn(async move {
            state.send_batch(batch).await;
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

/// Takes the waiting messages that fit into one call; returns them with the first one that does not fit.
fn fill_batch<S>(
    first: SendJob,
    inbox: &mut mpsc::Receiver<SendJob>,
    state: &PullEngineState<S>,
) -> (Vec<SendJob>, Option<SendJob>) {
    let mut bytes = first.body.len();
    let mut batch = vec![first];
    while batch.len() < state.settings.send_batch {
        let Ok(job) = inbox.try_recv() else { break };
        bytes = bytes.saturating_add(job.body.len());
        if bytes > state.settings.send_bytes {
            return (batch, Some(job));
        }
        batch.push(job);
    }
    (batch, None)
}

impl<S: SendService> PullEngineState<S> {
    async fn send_batch(&self, jobs: Vec<SendJob>) {
        // A caller that stopped waiting has reported a failure.
        let jobs: Vec<_> = jobs.into_iter().filter(|job| !job.done.is_closed()).collect();
        if jobs.is_empty() {
            return;
        }
        let (bodies, waiting): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.body, job.done)).unzip();
        let results = match self.throttle.check() {
            Ok(()) => self.call("send", self.service.send(&bodies)).await,
            throttled => throttled.map(|()| Vec::new()),
        };
        match results {
            Ok(results) => {
                // The outcome of a message without a result is unknown; dropping its sender reports that.
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
