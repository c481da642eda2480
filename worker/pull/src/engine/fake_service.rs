//! An in-memory queue service on Tokio's clock, with injected faults.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    AckRetry, FailedReceipt, IdlePolicy, InFlightMessages, LeaseReceipt, PullEngine, PullService,
    PullServiceError, PullSettings, ReceiptFailure, ReceivedMessage, SendService,
};
use chargegate_storage::queue::MessageKey;
use chargegate_storage::testing::effects;

/// Settings like those of Cloudflare's service.
pub(super) const FAKE_SETTINGS: PullSettings = PullSettings {
    receive_batch: 100,
    ack_batch: 100,
    send_batch: 100,
    send_bytes: 1_000,
    lease: Duration::from_secs(30),
    extend_for: Duration::ZERO,
    idle: IdlePolicy::Pause(Duration::from_secs(5)),
    linger: Duration::from_millis(100),
    ack_retry: AckRetry::WhileLeased,
    retry_cap: Duration::from_secs(5),
    pullers: 16,
};
/// Duration of a call.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A call that the service received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FakeCall {
    Receive(usize),
    Ack { acked: usize, released: usize },
    Extend(usize),
    Send(usize),
    Depth,
}

#[derive(Clone)]
pub(super) struct FakePullService(Arc<FakeQueue>);

struct FakeQueue {
    settings: PullSettings,
    state: Mutex<FakeQueueState>,
    arrived: Notify,
}

#[derive(Default)]
struct FakeQueueState {
    messages: VecDeque<FakeMessage>,
    named: usize,
    receipts: usize,
    calls: Vec<(Instant, FakeCall)>,
    /// Errors of the next calls.
    failures: VecDeque<PullServiceError>,
    /// Failures of single leases in the next ack or extend calls.
    failed_receipts: VecDeque<ReceiptFailure>,
    /// Number of calls whose responses are lost.
    lost_responses: usize,
    in_flight: usize,
    most_in_flight: usize,
}

struct FakeMessage {
    key: String,
    body: String,
    deliveries: u32,
    lease: Option<(String, Instant)>,
}

impl FakePullService {
    pub(super) fn new(settings: PullSettings) -> Self {
        Self(Arc::new(FakeQueue { settings, state: Mutex::default(), arrived: Notify::new() }))
    }

    pub(super) fn engine(&self) -> PullEngine<FakePullService> {
        PullEngine::start_with_sender(self.clone(), effects())
    }

    pub(super) fn put(&self, count: usize) {
        let mut state = self.state();
        for _ in 0..count {
            state.named += 1;
            let name = state.named.to_string();
            state.put(name);
        }
        drop(state);
        self.0.arrived.notify_waiters();
    }

    /// Makes the next calls fail.
    pub(super) fn fail_with(&self, errors: impl IntoIterator<Item = PullServiceError>) {
        self.state().failures.extend(errors);
    }

    /// Makes one lease fail in each of the next ack or extend calls.
    pub(super) fn fail_receipts(&self, reasons: impl IntoIterator<Item = ReceiptFailure>) {
        self.state().failed_receipts.extend(reasons);
    }

    /// Makes the responses of the next calls get lost after the calls took effect.
    pub(super) fn lose_responses(&self, count: usize) {
        self.state().lost_responses = count;
    }

    /// Returns the number of messages that were not acked.
    pub(super) fn remaining(&self) -> usize {
        self.state().messages.len()
    }

    /// Returns the number of messages that are not leased.
    pub(super) fn visible(&self) -> usize {
        let now = Instant::now();
        self.state().messages.iter().filter(|message| message.is_visible(now)).count()
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.state().messages.iter().map(|message| message.body.clone()).collect()
    }

    /// Returns the calls since the last invocation.
    pub(super) fn calls(&self) -> Vec<FakeCall> {
        self.timed_calls().into_iter().map(|(_, call)| call).collect()
    }

    pub(super) fn timed_calls(&self) -> Vec<(Instant, FakeCall)> {
        std::mem::take(&mut self.state().calls)
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }

    fn state(&self) -> MutexGuard<'_, FakeQueueState> {
        self.0.state.lock()
    }

    /// Performs a call that takes half of [`ROUND_TRIP`] each way.
    async fn call<T>(
        &self,
        call: FakeCall,
        act: impl AsyncFnOnce() -> Result<T, PullServiceError>,
    ) -> Result<T, PullServiceError> {
        let failure = {
            let mut state = self.state();
            state.calls.push((Instant::now(), call));
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.failures.pop_front()
        };
        sleep(ROUND_TRIP / 2).await;
        let response = match failure {
            Some(error) => Err(error),
            None => act().await,
        };
        sleep(ROUND_TRIP / 2).await;
        let mut state = self.state();
        state.in_flight -= 1;
        if state.lost_responses > 0 {
            state.lost_responses -= 1;
            return Err(down());
        }
        response
    }

    fn lease(&self, max: usize) -> Vec<ReceivedMessage> {
        let now = Instant::now();
        let mut state = self.state();
        let FakeQueueState { messages, receipts, .. } = &mut *state;
        let visible = messages.iter_mut().filter(|message| message.is_visible(now)).take(max);
        visible
            .map(|message| {
                *receipts += 1;
                message.deliveries += 1;
                message.lease = Some((receipts.to_string(), now + self.0.settings.lease));
                ReceivedMessage {
                    key: MessageKey::from(message.key.clone()),
                    receipt: LeaseReceipt::from(receipts.to_string()),
                    body: message.body.clone().into_bytes(),
                    enqueued_at: None,
                    deliveries: message.deliveries,
                }
            })
            .collect()
    }
}

impl FakeQueueState {
    fn put(&mut self, body: String) {
        let key = body.clone();
        self.messages.push_back(FakeMessage { key, body, deliveries: 0, lease: None });
    }
}

impl FakeMessage {
    fn is_visible(&self, now: Instant) -> bool {
        self.lease.as_ref().is_none_or(|(_, until)| *until <= now)
    }

    fn is_leased_by(&self, receipts: &[LeaseReceipt]) -> bool {
        let lease = self.lease.as_ref();
        lease.is_some_and(|(receipt, _)| receipts.iter().any(|other| other.as_str() == receipt))
    }
}

/// A temporary failure.
pub(super) fn down() -> PullServiceError {
    PullServiceError::unavailable("injected")
}

#[async_trait]
impl PullService for FakePullService {
    fn settings(&self) -> PullSettings {
        self.0.settings
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        _: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, PullServiceError> {
        let end = Instant::now() + wait;
        self.call(FakeCall::Receive(max), async || {
            loop {
                let mut arrived = std::pin::pin!(self.0.arrived.notified());
                arrived.as_mut().enable();
                let leased = self.lease(max);
                if !leased.is_empty() || timeout_at(end, arrived).await.is_err() {
                    return Ok(leased);
                }
            }
        })
        .await
    }

    async fn ack_and_release(
        &self,
        acked: &[LeaseReceipt],
        released: &[LeaseReceipt],
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        self.call(FakeCall::Ack { acked: acked.len(), released: released.len() }, async || {
            let mut state = self.state();
            let failed = state.failed_receipts.pop_front().and_then(|reason| {
                let receipt = acked.first()?.clone();
                Some(FailedReceipt { receipt, reason })
            });
            let acked = if failed.is_some() { &acked[1..] } else { acked };
            state.messages.retain(|message| !message.is_leased_by(acked));
            for message in &mut state.messages {
                if message.is_leased_by(released) {
                    message.lease = None;
                }
            }
            Ok(failed.into_iter().collect())
        })
        .await
    }

    async fn extend(&self, receipts: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError> {
        self.call(FakeCall::Extend(receipts.len()), async || {
            let until = Instant::now() + self.0.settings.lease;
            let mut state = self.state();
            let failed = state.failed_receipts.pop_front().and_then(|reason| {
                let receipt = receipts.first()?.clone();
                Some(FailedReceipt { receipt, reason })
            });
            let extended = if failed.is_some() { &receipts[1..] } else { receipts };
            for message in &mut state.messages {
                if message.is_leased_by(extended) {
                    message.lease.as_mut().unwrap().1 = until;
                }
            }
            Ok(failed.into_iter().collect())
        })
        .await
    }

    async fn depth(&self) -> Result<u64, PullServiceError> {
        self.call(FakeCall::Depth, async || Ok(u64::try_from(self.remaining()).unwrap())).await
    }
}

#[async_trait]
impl SendService for FakePullService {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), PullServiceError>>, PullServiceError> {
        self.call(FakeCall::Send(bodies.len()), async || {
            let mut state = self.state();
            let results = bodies.iter().map(|body| if body == "refused" { Err(down()) } else { Ok(body) });
            Ok(results.map(|body| body.map(|body| state.put(body.clone()))).collect())
        })
        .await
    }
}
