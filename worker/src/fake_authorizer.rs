//! An authorization service in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::DecisionStatus;
use tokio::time::{sleep, timeout};

use crate::authorizer::{AclCallError, AuthorizationRequest, Authorizer};

type ScriptedAnswer = Result<DecisionStatus, AclCallError>;

/// Answers by a script, and watches how it is called.
pub(crate) struct FakeAuthorizer {
    /// From the number of the call to what it takes and comes to.
    script: Box<dyn Fn(usize) -> (Duration, ScriptedAnswer) + Send + Sync>,
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl FakeAuthorizer {
    /// Call `n`, counted from zero, takes and comes to `script(n)`.
    pub(crate) fn new(script: impl Fn(usize) -> (Duration, ScriptedAnswer) + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            calls: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        }
    }

    /// Every call takes `took` and comes to `answer`.
    pub(crate) fn always(took: Duration, answer: ScriptedAnswer) -> Self {
        Self::new(move |_| (took, answer))
    }

    /// No call ever ends by itself.
    pub(crate) fn hung() -> Self {
        Self::always(Duration::from_hours(1000), Ok(DecisionStatus::Allowed))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Authorizer for FakeAuthorizer {
    async fn authorize(&self, _: AuthorizationRequest<'_>, limit: Duration) -> ScriptedAnswer {
        let (took, answer) = (self.script)(self.calls.fetch_add(1, Ordering::SeqCst));
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let ended = timeout(limit, sleep(took)).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        ended.map_or(Err(AclCallError::TimedOut), |()| answer)
    }
}
