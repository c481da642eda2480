//! The decision of one message, from its lease to an outcome.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{
    Decision, DecisionReason, DecisionRules, DecisionStep, DriverToken, MAX_DELIVERIES, MessageAge,
    MessageToken, RetryBudget, SessionMessage, TimestampCheck, Traceparent, full_jitter,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{PipelineSettings, WorkerDependencies};
use crate::authorizer::{AclCallError, AuthorizationRequest, Authorizer};
use crate::metric;
use chargegate_storage::Effects;
use chargegate_storage::queue::LeasedMessage;
use chargegate_storage::store::{DecidedMessage, Outcome, PoisonMessage};

/// Backoff before a failed call is repeated.
const CALL_RETRY_BASE: Duration = Duration::from_millis(50);
const CALL_RETRY_CAP: Duration = Duration::from_millis(500);

/// Decides messages, asking the authorization service in a limited number of slots.
pub(super) struct Decider {
    rules: DecisionRules,
    slots: Semaphore,
    budget: Mutex<RetryBudget>,
    authorizer: Arc<dyn Authorizer>,
    effects: Effects,
    stop: CancellationToken,
}

/// Age of a message, measured by the monotonic clock from its lease on.
#[derive(Clone, Copy)]
struct MonotonicAge {
    at_lease: Duration,
    leased: Instant,
}

impl MonotonicAge {
    fn now(self) -> Duration {
        self.at_lease.saturating_add(self.leased.elapsed())
    }
}

impl Decider {
    pub(super) fn new(
        settings: PipelineSettings,
        parts: &WorkerDependencies,
        stop: CancellationToken,
    ) -> Self {
        Self {
            rules: settings.rules,
            slots: Semaphore::new(settings.slots.get()),
            budget: Mutex::new(RetryBudget::full()),
            authorizer: Arc::clone(&parts.authorizer),
            effects: parts.effects.clone(),
            stop,
        }
    }

    /// Decides a message. Returns the outcome and the instant after which its commit is late, or `None` when the worker
    /// stops before the first call for this message.
    pub(super) async fn decide(&self, leased: LeasedMessage) -> Option<(Outcome, Instant)> {
        let now = self.effects.clock.now();
        let message = match SessionMessage::decode(&leased.body) {
            Ok(message) => message,
            Err(reason) => {
                warn!(
                    message.key = leased.key.as_str(),
                    reason = reason.as_str(),
                    "message cannot be decoded; stored as poison"
                );
                let poison = PoisonMessage { key: leased.key, body: leased.body, reason, found_at: now };
                return Some((Outcome::Poison(poison), Instant::now()));
            }
        };
        let MessageAge { value: at_lease, timestamps } =
            MessageAge::measure(now, message.accepted_at, leased.enqueued_at);
        metric::clock(timestamps);
        if timestamps != TimestampCheck::Consistent {
            warn!(request.id = %message.id, ?timestamps, "message timestamps are inconsistent");
        }
        let aging = MonotonicAge { at_lease, leased: Instant::now() };
        let trace = message.traceparent.unwrap_or_else(|| self.new_trace());
        let message = SessionMessage { traceparent: Some(trace), ..message };

        let decision = match &message.driver_token {
            MessageToken::Malformed(_) => Decision::MALFORMED_TOKEN,
            MessageToken::Valid(_) if leased.deliveries > MAX_DELIVERIES => {
                Decision::unknown(DecisionReason::Redelivered)
            }
            MessageToken::Valid(token) => self.authorize(&message, token, trace, aging).await?,
        };
        let late = self.rules.is_late(aging.now());
        debug!(
            request.id = %message.id, status = decision.status.as_str(), reason = decision.reason.as_str(),
            age_ms = aging.now().as_millis(), late, "decided",
        );
        let decided_at = self.effects.clock.now();
        let decided = DecidedMessage { key: leased.key, message, decision, decided_at, late };
        Some((Outcome::Decided(decided), aging.leased + self.rules.deadline().saturating_sub(at_lease)))
    }

    /// Calls the authorization service until it answers, or until time or retry budget are used up.
    async fn authorize(
        &self,
        message: &SessionMessage,
        token: &DriverToken,
        trace: Traceparent,
        aging: MonotonicAge,
    ) -> Option<Decision> {
        let mut last_failure: Option<AclCallError> = None;
        let mut calls = 0_u32;
        loop {
            let out_of_time =
                Decision::unknown(last_failure.map_or(DecisionReason::Expired, AclCallError::reason));
            let patience = self.rules.max_slot_wait(aging.now());
            let slot = tokio::select! {
                biased;
                // A stopping worker begins no call, and leaves undecided messages to workers that can still call.
                () = self.stop.cancelled() => return last_failure.map(|failure| Decision::unknown(failure.reason())),
                slot = self.slots.acquire() => slot.ok()?,
                () = tokio::time::sleep(patience) => return Some(out_of_time),
            };
            let DecisionStep::Call { timeout } = self.rules.next_step(aging.now()) else {
                return Some(out_of_time);
            };
            if calls == 0 {
                self.update_budget(|budget| Some(budget.earn()));
            } else {
                metric::acl_retry();
            }

            let in_flight = metric::track(metric::ACL_IN_FLIGHT);
            let start = Instant::now();
            let traceparent = trace.child(self.effects.random.bits().to_be_bytes());
            let authorization =
                AuthorizationRequest { station_id: &message.station_id, driver_token: token, traceparent };
            let answer = self.authorizer.authorize(authorization, timeout).await;
            metric::acl_call(answer.err(), start.elapsed());
            drop((in_flight, slot));
            calls = calls.saturating_add(1);

            let failure = match answer {
                Ok(status) => return Some(Decision::answered(status)),
                Err(failure) => failure,
            };
            debug!(request.id = %message.id, attempt.n = calls, error = %failure, "authorization call failed");
            let gave_up = Decision::unknown(failure.reason());
            let wait = full_jitter(CALL_RETRY_BASE, calls - 1, CALL_RETRY_CAP, self.effects.random.jitter());
            let fits = self.rules.next_step(aging.now().saturating_add(wait)) != DecisionStep::Shed;
            if !fits || !self.update_budget(RetryBudget::spend) {
                return Some(gave_up);
            }
            last_failure = Some(failure);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    fn update_budget(&self, update: impl FnOnce(RetryBudget) -> Option<RetryBudget>) -> bool {
        let mut budget = self.budget.lock();
        let updated = update(*budget);
        if let Some(updated) = updated {
            *budget = updated;
        }
        updated.is_some()
    }

    fn new_trace(&self) -> Traceparent {
        let random = &self.effects.random;
        let trace_id = (u128::from(random.bits()) << 64) | u128::from(random.bits());
        Traceparent::new(trace_id.to_be_bytes(), random.bits().to_be_bytes())
    }
}
