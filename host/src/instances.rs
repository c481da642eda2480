//! Instances: how they are made, how many requests one serves, and when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use chargegate_storage::queue::Producer;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::engine::Loaded;
use crate::settings::Limits;
use crate::state::State;

/// How long after a request's deadline its instance ends, if the guest did not even let its deadline be noticed.
const GRACE: Duration = Duration::from_millis(100);

/// Makes instances of the component for one queue.
pub(crate) struct Instances {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) queue: Arc<dyn Producer>,
    pub(crate) stop: CancellationToken,
    pub(crate) alive: TaskTracker,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let settings = &self.loaded.settings;
        let mut store = Store::new(self.loaded.engine(), State::new(settings, Arc::clone(&self.queue)));
        store.limiter(|state| &mut state.limits);
        // A guest that does not yield is made to, at every tick, so that its expiration is looked at.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = Proxy::P3(self.loaded.component.instantiate_async(&mut store).await?);
        Ok(Instance {
            store,
            proxy,
            view: State::view,
            expiration: Expiration::new(settings.limits, self.stop.clone()),
            state: Worker { limits: settings.limits, _alive: self.alive.token() },
        })
    }
}

/// One instance, as the dispatcher asks about it.
pub(crate) struct Worker {
    limits: Limits,
    _alive: TaskTrackerToken,
}

impl WorkerState for Worker {
    type StoreData = State;
    /// When the request is given up.
    type RequestData = tokio::time::Instant;

    fn should_accept_request(&self, concurrent_count: usize, total_count: usize) -> ShouldAccept {
        if total_count >= self.limits.instance_reuse {
            ShouldAccept::Never
        } else if concurrent_count >= self.limits.requests_per_instance {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        deadline: tokio::time::Instant,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(tokio::time::sleep_until(deadline))
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result {
            tracing::error!(error = format!("{error:#}"), "an instance of the edge component was ended");
        }
    }
}

/// Ends an instance that is idle, or whose requests are all past their deadline.
///
/// It is polled from outside the guest, so it holds even against one that never yields.
pub(crate) struct Expiration {
    limits: Limits,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    armed: Option<(WorkerStatus, Instant)>,
}

impl Expiration {
    fn new(limits: Limits, stop: CancellationToken) -> Self {
        Self {
            limits,
            stopped: Box::pin(stop.cancelled_owned()),
            timer: Box::pin(tokio::time::sleep(limits.instance_idle)),
            armed: None,
        }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.armed != Some((status, start)) {
            self.armed = Some((status, start));
            let patience = match status {
                WorkerStatus::Idle => self.limits.instance_idle,
                // After its last answer a guest has nothing left to do that could take longer than a request.
                WorkerStatus::Requests | WorkerStatus::PostReturn => self.limits.request_timeout + GRACE,
            };
            self.timer.as_mut().reset((start + patience).into());
        }
        self.timer.as_mut().poll(cx)
    }
}
