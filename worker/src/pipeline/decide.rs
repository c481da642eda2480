//! The decision of one message, from its lease to an outcome.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{
    Decision, DecisionReason, DecisionRules, DecisionStep, DriverToken, MAX_DELIVERIES, MessageAge,
    MessageToken, RetryBudget, SessionMessage, TimestampCheck, Traceparent, full_jitter,
};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{PipelineSettings, WorkerDependencies};
use crate::acl_gate::AclGate;
use crate::authorizer::{AclCallError, AuthorizationRequest, Authorizer};
use crate::metric;
use chargegate_storage::Effects;
use chargegate_storage::queue::LeasedMessage;
use chargegate_storage::store::{DecidedMessage, Outcome, PoisonMessage};

/// Backoff before a failed call is repeated.
const CALL_RETRY_BASE: Duration = Duration::from_millis(50);
const CALL_RETRY_CAP: Duration = Duration::from_millis(500);

/// Decides messages, asking the authorization service through the gate.
pub(super) struct Decider {
    rules: DecisionRules,
    gate: AclGate,
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

    /// Returns the time of acceptance by the monotonic clock.
    fn accepted(self) -> Instant {
        self.leased.checked_sub(self.at_lease).unwrap_or(self.leased)
    }
}

impl Decider {
    pub(super) fn new(
        settings: PipelineSettings,
        parts: &WorkerDependencies,
        gate: AclGate,
        stop: CancellationToken,
    ) -> Self {
        Self {
            rules: settings.rules,
            gate,
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

    /// Calls the authorization service until it answers, or until no further call fits.
    async fn authorize(
        &self,
        message: &SessionMessage,
        token: &DriverToken,
        trace: Traceparent,
        aging: MonotonicAge,
    ) -> Option<Decision> {
        let host = message.callback_url.host_str();
        let mut last_failure: Option<AclCallError> = None;
        let mut calls = 0_u32;
        loop {
            let patience = self.rules.max_slot_wait(aging.now());
            let permit = tokio::select! {
                biased;
                // A stopping worker begins no call, and leaves undecided messages to workers that can still call.
                () = self.stop.cancelled() => return last_failure.map(|failure| Decision::unknown(failure.reason())),
                permit = self.gate.acquire(host, aging.accepted()) => permit,
                () = tokio::time::sleep(patience) => return Some(self.out_of_time(last_failure)),
            };
            let DecisionStep::Call { timeout } = self.rules.next_step(aging.now()) else {
                return Some(self.out_of_time(last_failure));
            };
            // A process that was paused since it got its turn waits for the next one.
            let Some(timeout) = permit.timeout(timeout) else { continue };
            if calls == 0 {
                self.update_budget(|budget| Some(budget.earn()));
            } else {
                metric::acl_retry();
            }

            let start = Instant::now();
            let traceparent = trace.child(self.effects.random.bits().to_be_bytes());
            let authorization =
                AuthorizationRequest { station_id: &message.station_id, driver_token: token, traceparent };
            let answer = self.authorizer.authorize(authorization, timeout).await;
            let took = start.elapsed();
            metric::acl_call(answer.err(), took);
            permit.end(answer, took);
            calls = calls.saturating_add(1);

            let failure = match answer {
                Ok(status) => return Some(Decision::answered(status)),
                Err(failure) => failure,
            };
            debug!(request.id = %message.id, attempt.n = calls, error = %failure, "authorization call failed");
            last_failure = Some(failure);
            if !self.wait_for_retry(failure, calls, aging).await {
                return Some(Decision::unknown(failure.reason()));
            }
        }
    }

    /// Waits until a failed call may be repeated: with growing waits, and then for the retry budget. Returns `false` if no
    /// further call fits, or the worker stops.
    async fn wait_for_retry(&self, failure: AclCallError, calls: u32, aging: MonotonicAge) -> bool {
        let mut doublings = calls.saturating_sub(1);
        loop {
            let wait = full_jitter(CALL_RETRY_BASE, doublings, CALL_RETRY_CAP, self.effects.random.jitter());
            if self.rules.next_step(aging.now().saturating_add(wait)) == DecisionStep::Shed {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // The caller decides: it begins no call any more.
                () = self.stop.cancelled() => return true,
            }
            // A restart of the service decides nothing: calls that it refused or cut are repeated without the budget. The
            // breaker limits them, and the slots of cut ones.
            let is_free =
                matches!(failure, AclCallError::NotSent | AclCallError::Unreachable | AclCallError::Cut);
            if is_free || self.update_budget(RetryBudget::spend) {
                return true;
            }
            doublings = doublings.saturating_add(1);
        }
    }

    /// Returns the decision on a message for which no further call fits.
    fn out_of_time(&self, last_failure: Option<AclCallError>) -> Decision {
        Decision::unknown(match last_failure {
            Some(failure) => failure.reason(),
            None if self.gate.is_closed_to_calls() => DecisionReason::AclUnavailable,
            None => DecisionReason::Expired,
        })
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
