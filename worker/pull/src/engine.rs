//! A lease queue over a service that hands out messages in batches.
//!
//! [`PullEngine`] keeps no message longer than a worker needs it: it receives only as many messages as waiting leases
//! ask for, and raises the number of concurrent calls with the load. Acks and releases are sent in full batches where
//! there are enough of them. While the service fails or throttles, calls back off, and pending acks are retried for as
//! long as their leases last.
//!
//! A queue service implements [`PullService`], and [`SendService`] if messages are sent through the engine as well.

mod ack_batch;
#[cfg(test)]
mod fake_service;
mod in_flight;
mod pacing;
mod prefetch;
mod receive;
mod send;
mod service;
#[cfg(test)]
mod tests;
mod throttle;
mod upkeep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{EnqueueError, MAX_MESSAGE_BYTES};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use self::in_flight::InFlightMessages;
use self::in_flight::LeaseOutcome;
use self::prefetch::Prefetcher;
pub use self::service::{
    AckRetry, FailedReceipt, IdlePolicy, LeaseReceipt, PullService, PullServiceError, PullSettings,
    ReceiptFailure, ReceivedMessage, SendService,
};
use self::throttle::ThrottleGate;
use chargegate_storage::Effects;
use chargegate_storage::FailureBackoff;
use chargegate_storage::QueueError;
use chargegate_storage::metric;
use chargegate_storage::queue::{EnqueueFailure, LeasedMessage, MessageKey, Producer, Queue, QueueDepth};
use chargegate_storage::spawn_signalling_end;

/// Upper bound of the first wait after a failure.
const RETRY_BASE: Duration = Duration::from_millis(100);
/// Time that [`PullEngine::close`] waits for receive calls to return.
const RECEIVE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that [`PullEngine::close`] waits for pending acks, releases and sends.
const ACK_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// Capacity of the channels of pending acks and pending sends.
const CHANNEL_CAPACITY: usize = 1_024;

/// A lease queue over the service `S`; clones share it.
pub struct PullEngine<S> {
    state: Arc<PullEngineState<S>>,
    tasks: PullEngineTasks,
}

#[derive(Clone)]
struct PullEngineTasks {
    /// Tasks that receive messages and keep their leases.
    receiving: TaskTracker,
    /// Tasks that run until the last ack and the last send are done.
    draining: TaskTracker,
    stop: CancellationToken,
    ended: CancellationToken,
    kill: CancellationToken,
    /// Cancels all tasks when the last clone is dropped.
    _kill_on_drop: Arc<DropGuard>,
}

struct PullEngineState<S> {
    service: S,
    settings: PullSettings,
    prefetcher: Prefetcher,
    in_flight: InFlightMessages,
    /// Throttling of all calls.
    throttle: ThrottleGate,
    /// Additional throttling of depth calls: they are frequent, and must not keep messages waiting.
    depth_throttle: ThrottleGate,
    receive_outage: Mutex<FailureBackoff>,
    ack_outage: Mutex<FailureBackoff>,
    /// Channel of acks and releases; `None` once the engine is closed.
    acks: Mutex<Option<mpsc::Sender<ack_batch::AckJob>>>,
    /// Channel of messages to send; `None` once the engine is closed, or where it does not send.
    sends: Mutex<Option<mpsc::Sender<send::SendJob>>>,
    effects: Effects,
}

impl<S: PullService> PullEngine<S> {
    /// Starts the tasks of an engine that does not send; no call is made before the first lease.
    pub fn start(service: S, effects: Effects) -> Self {
        let settings = service.settings();
        let (acks, ack_inbox) = mpsc::channel(CHANNEL_CAPACITY);
        let state = Arc::new(PullEngineState {
            service,
            settings,
            prefetcher: Prefetcher::new(settings),
            in_flight: InFlightMessages::new(settings.lease),
            throttle: ThrottleGate::new(),
            depth_throttle: ThrottleGate::new(),
            receive_outage: Mutex::default(),
            ack_outage: Mutex::default(),
            acks: Mutex::new(Some(acks)),
            sends: Mutex::default(),
            effects,
        });
        let (kill, ended) = (CancellationToken::new(), CancellationToken::new());
        let stop = kill.child_token();
        let (receiving, draining) = (TaskTracker::new(), TaskTracker::new());
        let receive = receive::run(Arc::clone(&state), stop.clone());
        spawn_signalling_end(&ended, receiving.track_future(kill.clone().run_until_cancelled_owned(receive)));
        let extend = upkeep::extend_leases(Arc::clone(&state));
        spawn_signalling_end(&ended, receiving.track_future(stop.clone().run_until_cancelled_owned(extend)));
        let release = upkeep::release_unclaimed(Arc::clone(&state));
        spawn_signalling_end(&ended, receiving.track_future(stop.clone().run_until_cancelled_owned(release)));
        let ack = ack_batch::run(Arc::clone(&state), ack_inbox);
        spawn_signalling_end(&ended, draining.track_future(kill.clone().run_until_cancelled_owned(ack)));
        receiving.close();
        draining.close();
        let kill_on_drop = Arc::new(kill.clone().drop_guard());
        let tasks = PullEngineTasks { receiving, draining, stop, ended, kill, _kill_on_drop: kill_on_drop };
        Self { state, tasks }
    }

    /// Returns the service.
    #[must_use]
    pub fn service(&self) -> &S {
        &self.state.service
    }

    /// Returns the messages in flight.
    #[must_use]
    pub fn in_flight(&self) -> &InFlightMessages {
        &self.state.in_flight
    }

    /// Returns whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.prefetcher.is_closed()
    }

    /// Waits until a task of the engine has ended, after a fault or because the engine was closed. The engine is not
    /// usable then.
    pub async fn ended(&self) {
        self.tasks.ended.cancelled().await;
    }

    /// Stops receiving, releases received messages that no lease claimed, and completes pending acks, releases and
    /// sends; within five seconds, even if the service does not answer. Messages that are still leased come again when
    /// their leases end. Later calls on any clone fail with [`QueueError::Closed`].
    pub async fn close(&self) {
        let state = &self.state;
        state.prefetcher.close();
        self.tasks.stop.cancel();
        // A message that is about to arrive is better released than left until its lease ends.
        let _ = timeout(RECEIVE_SHUTDOWN_TIMEOUT, self.tasks.receiving.wait()).await;
        let unclaimed: Vec<_> =
            state.prefetcher.take_prefetched().into_iter().map(|message| message.key).collect();
        let drain = async {
            state.release_prefetched(unclaimed).await;
            state.close_channels();
            self.tasks.draining.wait().await;
        };
        if timeout(ACK_SHUTDOWN_TIMEOUT, drain).await.is_err() {
            warn!("could not complete all acks before shutdown; the remaining leases will expire");
        }
        state.close_channels();
        self.tasks.kill.cancel();
    }
}

impl<S: SendService> PullEngine<S> {
    /// Starts the tasks of an engine that sends as well; see [`start`](Self::start).
    pub fn start_with_sender(service: S, effects: Effects) -> Self {
        let engine = Self::start(service, effects);
        let (sends, inbox) = mpsc::channel(CHANNEL_CAPACITY);
        *engine.state.sends.lock() = Some(sends);
        let send = send::run(Arc::clone(&engine.state), inbox);
        let PullEngineTasks { draining, kill, ended, .. } = &engine.tasks;
        spawn_signalling_end(ended, draining.track_future(kill.clone().run_until_cancelled_owned(send)));
        engine
    }

    /// Sends a message to the queue; returns `Ok` after the service confirmed it.
    ///
    /// # Errors
    /// [`EnqueueFailure`]; the message was not enqueued then, except that after [`EnqueueFailure::Unavailable`] it may
    /// have been.
    pub async fn enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        let result = self.try_enqueue(body).await;
        metric::enqueue(result.as_ref().err().map(EnqueueFailure::as_str));
        result
    }

    async fn try_enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueFailure::TooLarge);
        }
        let sends = self.state.sends.lock().clone().ok_or(EnqueueFailure::Closed)?;
        let (done, result) = oneshot::channel();
        sends.send(send::SendJob { body, done }).await.map_err(|_| EnqueueFailure::Closed)?;
        drop(sends);
        let unknown = || PullServiceError::unavailable("the service did not confirm the message");
        let result = result.await.unwrap_or_else(|_| Err(unknown()));
        result.map_err(|error| QueueError::from(error).into())
    }
}

#[async_trait]
impl<S: PullService> Queue for PullEngine<S> {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        self.state.prefetcher.lease(max, wait).await
    }

    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        self.state.check_open()?;
        self.state.end_leases(keys, LeaseOutcome::Ack).await
    }

    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        self.state.check_open()?;
        self.state.end_leases(keys, LeaseOutcome::Release).await
    }

    async fn depth(&self) -> Result<QueueDepth, QueueError> {
        self.state.check_open()?;
        let state = &self.state;
        state.throttle.check()?;
        state.depth_throttle.check()?;
        let depth = counted("depth", state.service.depth()).await;
        let waiting = depth.inspect_err(|error| state.depth_throttle.note(error))?;
        Ok(QueueDepth { waiting, limit: u64::MAX })
    }
}

#[async_trait]
impl<S: SendService> Producer for PullEngine<S> {
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError> {
        Ok(PullEngine::enqueue(self, body).await?)
    }
}

impl<S: PullService> PullEngineState<S> {
    fn check_open(&self) -> Result<(), QueueError> {
        if self.prefetcher.is_closed() { Err(QueueError::Closed) } else { Ok(()) }
    }

    fn close_channels(&self) {
        drop((self.acks.lock().take(), self.sends.lock().take()));
    }

    /// Makes a call, and notes the throttling that its error asks for.
    async fn call<T>(
        &self,
        kind: &'static str,
        call: impl Future<Output = Result<T, PullServiceError>>,
    ) -> Result<T, PullServiceError> {
        counted(kind, call).await.inspect_err(|error| self.throttle.note(error))
    }

    /// Logs a failure of a call begun at `begun`, and returns the time of the next attempt.
    fn note_failure(
        &self,
        action: &'static str,
        outage: &Mutex<FailureBackoff>,
        begun: Instant,
        error: &PullServiceError,
    ) -> Instant {
        metric::engine_failure();
        let mut outage = outage.lock();
        if outage.should_warn() {
            warn!(error = %error, cause = metric::cause(error), "cannot {action}; retrying");
        } else {
            debug!(error = %error, cause = metric::cause(error), "still cannot {action}");
        }
        let wait = outage.next_delay_since(begun, RETRY_BASE, self.settings.retry_cap, &self.effects);
        (Instant::now() + wait).max(self.throttle.until())
    }

    /// Logs the end of an outage, if there was one.
    fn note_success(action: &'static str, outage: &Mutex<FailureBackoff>) {
        if outage.lock().reset() {
            info!("can {action} again");
        }
    }
}

/// Counts a call and its result in the metrics.
async fn counted<T>(
    kind: &'static str,
    call: impl Future<Output = Result<T, PullServiceError>>,
) -> Result<T, PullServiceError> {
    let result = call.await;
    metric::queue_call(kind, result.as_ref().err().map_or("ok", PullServiceError::as_str));
    result
}

impl<S> Clone for PullEngine<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), tasks: self.tasks.clone() }
    }
}

impl<S: fmt::Debug> fmt::Debug for PullEngine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullEngine").field("service", &self.state.service).finish_non_exhaustive()
    }
}
