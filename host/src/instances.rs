//! Instances of the component: creation, number of requests, and expiration.

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

use crate::engine::LoadedComponent;
use crate::settings::HostLimits;
use crate::state::InstanceState;

/// Time from a request's deadline until its instance is dropped, if the guest keeps the deadline from being noticed.
const EXPIRATION_MARGIN: Duration = Duration::from_millis(100);

/// Creates instances of the component for one queue.
pub(crate) struct InstanceFactory {
    pub(crate) loaded: Arc<LoadedComponent>,
    pub(crate) queue: Arc<dyn Producer>,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl HandlerState for InstanceFactory {
    type StoreData = InstanceState;
    type WorkerExpiration = InstanceExpiration;
    type WorkerState = InstanceWorker;

    async fn instantiate(
        &self,
    ) -> wasmtime::Result<Instance<InstanceState, InstanceExpiration, InstanceWorker>> {
        let settings = &self.loaded.settings;
        let mut store =
            Store::new(self.loaded.engine(), InstanceState::new(settings, Arc::clone(&self.queue)));
        store.limiter(|state| &mut state.limits);
        // Every epoch makes a busy guest yield, so that its expiration is polled.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = Proxy::P3(self.loaded.component.instantiate_async(&mut store).await?);
        Ok(Instance {
            store,
            proxy,
            view: InstanceState::view,
            expiration: InstanceExpiration::new(settings.limits, self.stop.clone()),
            state: InstanceWorker { limits: settings.limits, _tracked: self.tracker.token() },
        })
    }
}

/// One instance as the dispatcher sees it: it decides which requests the instance accepts.
pub(crate) struct InstanceWorker {
    limits: HostLimits,
    _tracked: TaskTrackerToken,
}

impl WorkerState for InstanceWorker {
    type StoreData = InstanceState;
    /// The deadline of the request.
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
        _store: StoreContextMut<'_, InstanceState>,
        deadline: tokio::time::Instant,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(tokio::time::sleep_until(deadline))
    }

    fn drop(&self, store: Store<InstanceState>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result {
            tracing::error!(error = format!("{error:#}"), "an instance of the edge component failed");
        }
    }
}

/// Ends an instance that is idle, or whose requests are all past their deadline.
///
/// It is polled outside the guest, and therefore works even against a guest that never yields.
pub(crate) struct InstanceExpiration {
    limits: HostLimits,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    armed: Option<(WorkerStatus, Instant)>,
}

impl InstanceExpiration {
    fn new(limits: HostLimits, stop: CancellationToken) -> Self {
        Self {
            limits,
            stopped: Box::pin(stop.cancelled_owned()),
            timer: Box::pin(tokio::time::sleep(limits.instance_idle)),
            armed: None,
        }
    }
}

impl WorkerExpiration for InstanceExpiration {
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
            let lifetime = match status {
                WorkerStatus::Idle => self.limits.instance_idle,
                // After its last response a guest has no work left that could take longer than a request.
                WorkerStatus::Requests | WorkerStatus::PostReturn => {
                    self.limits.request_timeout + EXPIRATION_MARGIN
                }
            };
            self.timer.as_mut().reset((start + lifetime).into());
        }
        self.timer.as_mut().poll(cx)
    }
}
