//! Results of recording, as a store computes them.

use std::num::NonZeroU32;

use super::{CallbackJob, DecidedMessage, Outcome, Recorded};

/// Result of recording an outcome, without its callback job.
#[derive(Clone, Copy, Debug)]
pub enum RecordOutcome {
    /// The first decision of the request.
    Decided,
    /// The same message was recorded before.
    Redelivered,
    /// The request was decided by an earlier message.
    Duplicate {
        /// Set if the callback is due again.
        resent: bool,
    },
    /// The message was moved to the poison table.
    Poison,
}

impl RecordOutcome {
    /// Converts the outcome to the result for the caller.
    #[must_use]
    pub fn answer(self, outcome: Outcome) -> Recorded {
        match (self, outcome) {
            (Self::Decided, Outcome::Decided(decided)) => Recorded::Decided(first_job(decided)),
            (Self::Duplicate { resent }, _) => Recorded::Duplicate { resent },
            (Self::Poison, _) => Recorded::Poison,
            (Self::Redelivered | Self::Decided, _) => Recorded::Redelivered,
        }
    }
}

fn first_job(decided: DecidedMessage) -> CallbackJob {
    let DecidedMessage { message, decision, decided_at, .. } = decided;
    CallbackJob {
        request_id: message.id,
        attempt: NonZeroU32::MIN,
        round_attempt: NonZeroU32::MIN,
        round_started_at: decided_at,
        station_id: message.station_id,
        driver_token: message.driver_token.as_str().into(),
        callback_url: message.callback_url,
        decision,
        accepted_at: message.accepted_at,
        decided_at,
        traceparent: message.traceparent,
    }
}
