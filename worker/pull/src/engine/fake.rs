//! A queue service in memory, on tokio's clock, that fails as a test wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Cause, Engine, Idle, Receipt, Received, Service, ServiceError, Terms, Unsettled};
use chargegate_storage::queue::MessageKey;
use chargegate_storage::testing::effects;

/// What Cloudflare's service offers, but for the batch of leases that are ended.
pub(super) const TERMS: Terms = Terms {
    receive_batch: 100,
    settle_batch: 100,
    send_batch: 100,
    send_bytes: 1_000,
    lease: Duration::from_secs(30),
    extend_for: Duration::ZERO,
    idle: Idle::Pause(Duration::from_secs(5)),
    linger: Duration::from_millis(100),
    pullers: 16,
};
/// How long a call takes.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A call, as the service saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Receive(usize),
    Settle { done: usize, back: usize },
    Extend(usize),
    Send(usize),
    Depth,
}

#[derive(Clone)]
pub(super) struct Fake(Arc<Inner>);

struct Inner {
    terms: Terms,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    named: usize,
    receipts: usize,
    calls: Vec<(Instant, Call)>,
    /// Errors of the next calls.
    failures: VecDeque<ServiceError>,
    /// What the next calls that settle or extend do not do.
    unsettled: VecDeque<Cause>,
    /// Answers of so many calls are lost.
    lost_answers: usize,
    in_flight: usize,
    most_in_flight: usize,
}

struct Message {
    key: String,
    body: String,
    deliveries: u32,
    lease: Option<(String, Instant)>,
}

impl Fake {
    pub(super) fn new(terms: Terms) -> Self {
        Self(Arc::new(Inner { terms, state: Mutex::default(), arrived: Notify::new() }))
    }

    pub(super) fn engine(&self) -> Engine<Fake> {
        Engine::start(self.clone(), effects())
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

    /// The next calls fail.
    pub(super) fn fail_with(&self, errors: impl IntoIterator<Item = ServiceError>) {
        self.state().failures.extend(errors);
    }

    /// The next calls that settle or extend leave something undone.
    pub(super) fn leave_unsettled(&self, causes: impl IntoIterator<Item = Cause>) {
        self.state().unsettled.extend(causes);
    }

    /// So many calls are done, and nobody hears of it.
    pub(super) fn lose_answers(&self, count: usize) {
        self.state().lost_answers = count;
    }

    /// Messages not settled.
    pub(super) fn left(&self) -> usize {
        self.state().messages.len()
    }

    /// Messages that nobody holds.
    pub(super) fn visible(&self) -> usize {
        let now = Instant::now();
        self.state().messages.iter().filter(|message| message.is_visible(now)).count()
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.state().messages.iter().map(|message| message.body.clone()).collect()
    }

    /// The calls since this was asked last.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.timed_calls().into_iter().map(|(_, call)| call).collect()
    }

    pub(super) fn timed_calls(&self) -> Vec<(Instant, Call)> {
        std::mem::take(&mut self.state().calls)
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// A call takes its time, half on the way to the service and half back.
    async fn call<T>(
        &self,
        call: Call,
        act: impl AsyncFnOnce() -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let failure = {
            let mut state = self.state();
            state.calls.push((Instant::now(), call));
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.failures.pop_front()
        };
        sleep(ROUND_TRIP / 2).await;
        let answer = match failure {
            Some(error) => Err(error),
            None => act().await,
        };
        sleep(ROUND_TRIP / 2).await;
        let mut state = self.state();
        state.in_flight -= 1;
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            return Err(down());
        }
        answer
    }

    fn lease(&self, max: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut state = self.state();
        let State { messages, receipts, .. } = &mut *state;
        let visible = messages.iter_mut().filter(|message| message.is_visible(now)).take(max);
        visible
            .map(|message| {
                *receipts += 1;
                message.deliveries += 1;
                message.lease = Some((receipts.to_string(), now + self.0.terms.lease));
                Received {
                    key: MessageKey::from(message.key.clone()),
                    receipt: Receipt::from(receipts.to_string()),
                    body: message.body.clone().into_bytes(),
                    enqueued_at: None,
                    deliveries: message.deliveries,
                }
            })
            .collect()
    }
}

impl State {
    fn put(&mut self, body: String) {
        let key = body.clone();
        self.messages.push_back(Message { key, body, deliveries: 0, lease: None });
    }
}

impl Message {
    fn is_visible(&self, now: Instant) -> bool {
        self.lease.as_ref().is_none_or(|(_, until)| *until <= now)
    }

    fn is_leased_by(&self, receipts: &[Receipt]) -> bool {
        let lease = self.lease.as_ref();
        lease.is_some_and(|(receipt, _)| receipts.iter().any(|other| other.as_str() == receipt))
    }
}

/// A failure that passes.
pub(super) fn down() -> ServiceError {
    ServiceError::unavailable("injected")
}

#[async_trait]
impl Service for Fake {
    fn terms(&self) -> Terms {
        self.0.terms
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>, ServiceError> {
        let end = Instant::now() + wait;
        self.call(Call::Receive(max), async || {
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

    async fn settle(&self, done: &[Receipt], back: &[Receipt]) -> Result<Vec<Unsettled>, ServiceError> {
        self.call(Call::Settle { done: done.len(), back: back.len() }, async || {
            let mut state = self.state();
            let unsettled = state.unsettled.pop_front().and_then(|cause| {
                let receipt = done.first()?.clone();
                Some(Unsettled { receipt, cause })
            });
            let done = if unsettled.is_some() { &done[1..] } else { done };
            state.messages.retain(|message| !message.is_leased_by(done));
            for message in &mut state.messages {
                if message.is_leased_by(back) {
                    message.lease = None;
                }
            }
            Ok(unsettled.into_iter().collect())
        })
        .await
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<Vec<Unsettled>, ServiceError> {
        self.call(Call::Extend(receipts.len()), async || {
            let until = Instant::now() + self.0.terms.lease;
            let mut state = self.state();
            let unsettled = state.unsettled.pop_front().and_then(|cause| {
                let receipt = receipts.first()?.clone();
                Some(Unsettled { receipt, cause })
            });
            let extended = if unsettled.is_some() { &receipts[1..] } else { receipts };
            for message in &mut state.messages {
                if message.is_leased_by(extended) {
                    message.lease.as_mut().unwrap().1 = until;
                }
            }
            Ok(unsettled.into_iter().collect())
        })
        .await
    }

    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), ServiceError>>, ServiceError> {
        self.call(Call::Send(bodies.len()), async || {
            let mut state = self.state();
            let taken = bodies.iter().map(|body| if body == "refused" { Err(down()) } else { Ok(body) });
            Ok(taken.map(|body| body.map(|body| state.put(body.clone()))).collect())
        })
        .await
    }

    async fn depth(&self) -> Result<u64, ServiceError> {
        self.call(Call::Depth, async || Ok(u64::try_from(self.left()).unwrap())).await
    }
}
