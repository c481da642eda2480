//! The queue of a service behind an HTTP API, which leases messages in batches.
//!
//! Calls ask for no more messages than leases want, and there are more of them at a time the more messages there are.
//! Leases are ended by full calls where there is enough to fill them. While the service fails, or wants to be left
//! alone, it is asked less and less, and what is under way is tried again for as long as its lease lasts.

mod calls;
mod client;
#[cfg(test)]
mod fake;
mod gate;
mod held;
mod intake;
mod pace;
mod send;
mod service;
mod settle;
#[cfg(test)]
mod tests;
mod upkeep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{EnqueueError, MAX_MESSAGE_BYTES};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub(crate) use self::client::{Answer, CallError, Client};
use self::gate::Gate;
use self::held::{Held, Outcome};
use self::intake::Intake;
pub(crate) use self::service::{Cause, Idle, Receipt, Received, Service, ServiceError, Terms, Unsettled};
use chargegate_storage::Effects;
use chargegate_storage::EngineError;
use chargegate_storage::Outage;
use chargegate_storage::metric;
use chargegate_storage::queue::{EnqueueFailure, LeasedMessage, MessageKey, Producer, Queue, QueueDepth};
use chargegate_storage::spawn_watched;

/// Waits after a failure: the first is no longer than this, ...
const BASE: Duration = Duration::from_millis(100);
/// ... and none longer than this, unless the service asks for more.
const CAP: Duration = Duration::from_secs(5);
/// The longest that closing waits for messages on their way.
const ARRIVE: Duration = Duration::from_secs(2);
/// The longest that closing waits for leases to be ended.
const LEAVE: Duration = Duration::from_secs(3);
/// Messages that may wait to be enqueued, or for their leases to be ended.
const WAITING: usize = 1_024;

/// An engine on the service `S`; clones share it.
pub struct Engine<S> {
    shared: Arc<Shared<S>>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Tasks {
    /// Those that bring messages.
    arrivals: TaskTracker,
    /// Those that go on until all is settled.
    departures: TaskTracker,
    stop: CancellationToken,
    ended: CancellationToken,
    kill: CancellationToken,
    /// Ends them with the last clone.
    _end: Arc<DropGuard>,
}

struct Shared<S> {
    service: S,
    terms: Terms,
    intake: Intake,
    held: Held,
    /// For calls of any kind.
    gate: Gate,
    /// For questions of the depth, besides: they are often asked, and must not be what keeps messages waiting.
    depth_gate: Gate,
    /// Of calls that ask for messages.
    receiving: Mutex<Outage>,
    /// Of calls that end leases.
    settling: Mutex<Outage>,
    /// Where leases are ended, until the engine is closed.
    settlements: Mutex<Option<mpsc::Sender<settle::Job>>>,
    /// Where messages are enqueued, until the engine is closed.
    sending: Mutex<Option<mpsc::Sender<send::Job>>>,
    effects: Effects,
}

impl<S: Service> Engine<S> {
    /// Begins to work, asking for nothing yet.
    pub(crate) fn start(service: S, effects: Effects) -> Self {
        let terms = service.terms();
        let (settlements, to_settle) = mpsc::channel(WAITING);
        let (sending, to_send) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared {
            service,
            terms,
            intake: Intake::new(terms),
            held: Held::new(terms.lease),
            gate: Gate::new(),
            depth_gate: Gate::new(),
            receiving: Mutex::default(),
            settling: Mutex::default(),
            settlements: Mutex::new(Some(settlements)),
            sending: Mutex::new(Some(sending)),
            effects,
        });
        let (kill, ended) = (CancellationToken::new(), CancellationToken::new());
        let stop = kill.child_token();
        let (arrivals, departures) = (TaskTracker::new(), TaskTracker::new());
        let calls = calls::run(Arc::clone(&shared), stop.clone());
        spawn_watched(&ended, arrivals.track_future(kill.clone().run_until_cancelled_owned(calls)));
        let extending = upkeep::extend(Arc::clone(&shared));
        spawn_watched(&ended, arrivals.track_future(stop.clone().run_until_cancelled_owned(extending)));
        let tidying = upkeep::tidy(Arc::clone(&shared));
        spawn_watched(&ended, arrivals.track_future(stop.clone().run_until_cancelled_owned(tidying)));
        let settling = settle::run(Arc::clone(&shared), to_settle);
        spawn_watched(&ended, departures.track_future(kill.clone().run_until_cancelled_owned(settling)));
        let sending = send::run(Arc::clone(&shared), to_send);
        spawn_watched(&ended, departures.track_future(kill.clone().run_until_cancelled_owned(sending)));
        arrivals.close();
        departures.close();
        let end = Arc::new(kill.clone().drop_guard());
        Self { shared, tasks: Tasks { arrivals, departures, stop, ended, kill, _end: end } }
    }

    /// Puts a message into the queue. `Ok` comes after the service confirmed it.
    ///
    /// # Errors
    /// [`EnqueueFailure`]; the message was not enqueued then, except that after [`EnqueueFailure::Unavailable`] it may have
    /// been.
    pub async fn enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        let result = self.try_enqueue(body).await;
        metric::enqueue(result.as_ref().err().map(EnqueueFailure::as_str));
        result
    }

    async fn try_enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueFailure::TooLarge);
        }
        let sending = lock(&self.shared.sending).clone().ok_or(EnqueueFailure::Closed)?;
        let (done, result) = oneshot::channel();
        sending.send(send::Job { body, done }).await.map_err(|_| EnqueueFailure::Closed)?;
        drop(sending);
        let unknown = || ServiceError::unavailable("the service did not say whether it took the message");
        let result = result.await.unwrap_or_else(|_| Err(unknown()));
        result.map_err(|error| EngineError::from(error).into())
    }

    /// Comes back once a part of the engine has ended, by a fault or because it was closed: it cannot be relied on then.
    pub async fn ended(&self) {
        self.tasks.ended.cancelled().await;
    }

    /// Asks for nothing more, hands back what no lease came for, and ends the leases that are to be ended; within five
    /// seconds, whatever the service does. What is still leased then comes again when its lease ends. Later calls on any
    /// clone get [`EngineError::Closed`].
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.intake.close();
        self.tasks.stop.cancel();
        // What is on its way is better handed back than waited for until its lease ends.
        let _ = timeout(ARRIVE, self.tasks.arrivals.wait()).await;
        let left: Vec<_> = shared.intake.left().into_iter().map(|message| message.key).collect();
        let leaving = async {
            if let Err(error) = shared.settle(left, Outcome::Back).await {
                warn!(error = %error, cause = metric::cause(&error), "could not hand back messages; their leases will end");
            }
            drop((lock(&shared.settlements).take(), lock(&shared.sending).take()));
            self.tasks.departures.wait().await;
        };
        if timeout(LEAVE, leaving).await.is_err() {
            warn!("could not take leave of the queue in time; leases will end by themselves");
        }
        drop((lock(&shared.settlements).take(), lock(&shared.sending).take()));
        self.tasks.kill.cancel();
    }
}

#[async_trait]
impl<S: Service> Queue for Engine<S> {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, EngineError> {
        self.shared.intake.lease(max, wait).await
    }

    async fn acknowledge(&self, keys: Vec<MessageKey>) -> Result<(), EngineError> {
        self.shared.check_open()?;
        self.shared.settle(keys, Outcome::Done).await
    }

    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), EngineError> {
        self.shared.check_open()?;
        self.shared.settle(keys, Outcome::Back).await
    }

    async fn depth(&self) -> Result<QueueDepth, EngineError> {
        self.shared.check_open()?;
        let shared = &self.shared;
        shared.gate.check()?;
        shared.depth_gate.check()?;
        let depth = counted("depth", shared.service.depth()).await;
        let waiting = depth.inspect_err(|error| shared.depth_gate.note(error))?;
        Ok(QueueDepth { waiting, limit: u64::MAX })
    }
}

#[async_trait]
impl<S: Service> Producer for Engine<S> {
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError> {
        Ok(Engine::enqueue(self, body).await?)
    }
}

impl<S: Service> Shared<S> {
    fn check_open(&self) -> Result<(), EngineError> {
        if self.intake.is_closed() { Err(EngineError::Closed) } else { Ok(()) }
    }

    /// Makes a call after which there may have to be a while without any.
    async fn call<T>(
        &self,
        kind: &'static str,
        call: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        counted(kind, call).await.inspect_err(|error| self.gate.note(error))
    }

    /// Tells of a failure of a call begun at `begun`, and says when to try again.
    fn failed(
        &self,
        what: &'static str,
        outage: &Mutex<Outage>,
        begun: Instant,
        error: &ServiceError,
    ) -> Instant {
        metric::engine_failure();
        let mut outage = lock(outage);
        if outage.take_warning() {
            warn!(error = %error, cause = metric::cause(error), "cannot {what}; trying again");
        } else {
            debug!(error = %error, cause = metric::cause(error), "still cannot {what}");
        }
        let wait = outage.next_wait_of(begun, BASE, CAP, &self.effects);
        (Instant::now() + wait).max(self.gate.until())
    }

    /// Tells that something works, if that is news.
    fn worked(what: &'static str, outage: &Mutex<Outage>) {
        if lock(outage).end() {
            info!("can {what} again");
        }
    }
}

/// Counts a call and what came of it.
async fn counted<T>(
    kind: &'static str,
    call: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, ServiceError> {
    let result = call.await;
    metric::queue_call(kind, result.as_ref().err().map_or("ok", ServiceError::as_str));
    result
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), tasks: self.tasks.clone() }
    }
}

impl<S: fmt::Debug> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("service", &self.shared.service).finish_non_exhaustive()
    }
}
