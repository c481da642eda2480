//! Callbacks to hostile receivers, over real sockets on loopback.

mod addresses;
mod background;
mod destinations;
pub(super) mod dns;
mod exchange;
mod hostile;
mod proxy;
mod resolver;
mod tls;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{
    AddressPolicy, Decision, DecisionStatus, DestinationPolicy, RequestId, Traceparent, UnixMillis,
};

use super::client::AttemptResponse;
use super::receivers::Receivers;
use super::{CallbackClient, CallbackTls, LookupError, ReceiverResolver};
use chargegate_storage::store::{CallbackJob, LookupFailure};
use chargegate_storage::testing::{STATION, TOKEN, effects};
use parking_lot::Mutex;

/// Timeout of operations that must not time out.
pub(super) const LONG: Duration = Duration::from_mins(1);
/// Timeout of operations that must time out.
pub(super) const SHORT: Duration = Duration::from_millis(100);

/// Idle connections that a client keeps.
pub(super) const KEPT: usize = 3;

/// Names with the addresses of each lookup; the last answer repeats.
#[derive(Default)]
pub(super) struct FakeResolver {
    answers: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl FakeResolver {
    pub(super) fn with(self, name: &str, answers: &[&[&str]]) -> Self {
        let answers = answers.iter().map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        self.answers.lock().insert(name.to_owned(), answers.collect());
        self
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

#[async_trait]
impl ReceiverResolver for FakeResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        self.asked.lock().push(name.to_owned());
        let mut answers = self.answers.lock();
        let answers = answers.get_mut(name).ok_or(LookupError::Failed(LookupFailure::NoAddress))?;
        if answers.len() > 1 {
            return Ok(answers.pop_front().unwrap());
        }
        Ok(answers[0].clone())
    }
}

pub(super) fn client_with(allowed: &str, resolver: &Arc<FakeResolver>, deadline: Duration) -> CallbackClient {
    client_by(AddressPolicy::allowing(allowed).unwrap(), resolver, deadline)
}

pub(super) fn client_by(
    policy: impl Into<DestinationPolicy>,
    resolver: &Arc<FakeResolver>,
    deadline: Duration,
) -> CallbackClient {
    CallbackClient::new(
        policy.into(),
        resolver.clone(),
        deadline,
        KEPT,
        &CallbackTls::public().unwrap(),
        effects(),
    )
}

/// A client that may call loopback and resolves nothing.
fn client(deadline: Duration) -> CallbackClient {
    client_with("127.0.0.0/8", &Arc::default(), deadline)
}

/// Makes one attempt, which nothing limits.
async fn post(client: &CallbackClient, job: &CallbackJob, trace: Option<Traceparent>) -> AttemptResponse {
    let mut permit = Receivers::new(100, 100, effects()).admit(&job.callback_url).ok().unwrap();
    client.post(job, trace, &mut permit).await.unwrap()
}

fn trace() -> Traceparent {
    Traceparent::new([7; 16], [9; 8])
}

/// The first attempt of the `n`th request, decided at the moment 2,000.
pub(super) fn job(n: u16, url: &str) -> CallbackJob {
    let mut number = [0; 10];
    number[8..].copy_from_slice(&n.to_be_bytes());
    CallbackJob {
        request_id: RequestId::v7(UnixMillis(1), number),
        attempt: NonZeroU32::MIN,
        round_attempt: NonZeroU32::MIN,
        round_age: Duration::ZERO,
        callback_url: url.parse().unwrap(),
        station_id: STATION.parse().unwrap(),
        driver_token: TOKEN.into(),
        decision: Decision::answered(DecisionStatus::Allowed),
        accepted_at: UnixMillis(1000),
        decided_at: UnixMillis(2000),
        traceparent: Some(trace()),
    }
}
