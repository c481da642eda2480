//! Deciding one message: the design's decision table.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chargegate_core::{
    Decision, DecisionReason, DecisionRules, DecisionStep, DriverToken, MAX_DELIVERIES, MessageAge,
    MessageToken, RetryBudget, SessionMessage, TimestampCheck, Traceparent, full_jitter,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Parts, PipelineSettings};
use crate::authorizer::{Authorizer, NoAnswer, Question};
use crate::metric;
use chargegate_storage::Effects;
use chargegate_storage::queue::LeasedMessage;
use chargegate_storage::store::{DecidedMessage, Outcome, PoisonMessage};

/// Bounds of the wait before a call without an answer is repeated.
const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_millis(500);

/// Decides messages, asking the authorization service in a limited number of slots.
pub(super) struct Decider {
    rules: DecisionRules,
    slots: Semaphore,
    budget: Mutex<RetryBudget>,
    authorizer: Arc<dyn Authorizer>,
    effects: Effects,
    stop: CancellationToken,
}

/// A message's age, counted by the monotonic clock from the moment it was leased.
#[derive(Clone, Copy)]
struct Aging {
    at_lease: Duration,
    leased: Instant,
}

impl Aging {
    fn now(self) -> Duration {
        self.at_lease.saturating_add(self.leased.elapsed())
    }
}

impl Decider {
    pub(super) fn new(settings: PipelineSettings, parts: &Parts, stop: CancellationToken) -> Self {
        Self {
            rules: settings.rules,
            slots: Semaphore::new(settings.slots.get()),
            budget: Mutex::new(RetryBudget::full()),
            authorizer: Arc::clone(&parts.authorizer),
            effects: parts.effects.clone(),
            stop,
        }
    }

    /// Decides a message and says when its commit is late; `None` when the worker stops before a call was begun
    /// for it.
    pub(super) async fn decide(&self, leased: LeasedMessage) -> Option<(Outcome, Instant)> {
        let now = self.effects.clock.now();
        let message = match SessionMessage::decode(&leased.body) {
            Ok(message) => message,
            Err(reason) => {
                warn!(
                    message.key = leased.key.as_str(),
                    reason = reason.as_str(),
                    "put a poison message aside"
                );
                let poison = PoisonMessage { key: leased.key, body: leased.body, reason, found_at: now };
                return Some((Outcome::Poison(poison), Instant::now()));
            }
        };
        let MessageAge { value: at_lease, timestamps } =
            MessageAge::measure(now, message.accepted_at, leased.enqueued_at);
        metric::clock(timestamps);
        if timestamps != TimestampCheck::Consistent {
            warn!(request.id = %message.id, ?timestamps, "the times of a message are odd");
        }
        let aging = Aging { at_lease, leased: Instant::now() };
        let trace = message.traceparent.unwrap_or_else(|| self.new_trace());
        let message = SessionMessage { traceparent: Some(trace), ..message };

        let decision = match &message.driver_token {
            MessageToken::Malformed(_) => Decision::MALFORMED_TOKEN,
            MessageToken::Valid(_) if leased.deliveries > MAX_DELIVERIES => {
                Decision::unknown(DecisionReason::Redelivered)
            }
            MessageToken::Valid(token) => self.ask(&message, token, trace, aging).await?,
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

    /// Asks until there is an answer, or time or budget run out.
    async fn ask(
        &self,
        message: &SessionMessage,
        token: &DriverToken,
        trace: Traceparent,
        aging: Aging,
    ) -> Option<Decision> {
        let mut last: Option<NoAnswer> = None;
        let mut calls = 0_u32;
        loop {
            let out_of_time = Decision::unknown(last.map_or(DecisionReason::Expired, NoAnswer::reason));
            let patience = self.rules.max_slot_wait(aging.now());
            let slot = tokio::select! {
                biased;
                // A stopping worker begins no call, and does not decide for another that could still ask.
                () = self.stop.cancelled() => return last.map(|no_answer| Decision::unknown(no_answer.reason())),
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

            let in_flight = metric::under_way("chargegate_acl_in_flight");
            let start = Instant::now();
            let traceparent = trace.child(self.effects.random.bits().to_be_bytes());
            let question = Question { station_id: &message.station_id, driver_token: token, traceparent };
            let answer = self.authorizer.ask(question, timeout).await;
            metric::acl_call(answer.err(), start.elapsed());
            drop((in_flight, slot));
            calls = calls.saturating_add(1);

            let no_answer = match answer {
                Ok(status) => return Some(Decision::answered(status)),
                Err(no_answer) => no_answer,
            };
            debug!(request.id = %message.id, attempt.n = calls, error = %no_answer, "no answer");
            let gives_up = Decision::unknown(no_answer.reason());
            let wait = full_jitter(RETRY_BASE, calls - 1, RETRY_CAP, self.effects.random.jitter());
            let fits = self.rules.next_step(aging.now().saturating_add(wait)) != DecisionStep::Shed;
            if !fits || !self.update_budget(RetryBudget::spend) {
                return Some(gives_up);
            }
            last = Some(no_answer);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    fn update_budget(&self, update: impl FnOnce(RetryBudget) -> Option<RetryBudget>) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
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
