//! One request and what became of it.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::DecisionStatus;
use tokio::time::Instant;

use crate::send::client::ResponseLoss;

/// One request and what became of it.
pub(crate) struct LedgerEntry {
    planned: Instant,
    station_id: Arc<str>,
    ack: RequestAck,
    first: Option<ReceivedCallback>,
    repeated: bool,
    contradiction: Option<CallbackContradiction>,
}

/// How a request was answered.
#[derive(Clone, Debug)]
pub(crate) enum RequestAck {
    /// Not yet.
    Pending,
    /// With a 202.
    Accepted { after: Duration, request_id: Option<Box<str>> },
    /// With another status.
    Refused { status: u16 },
    /// Not, or not completely: nobody knows whether it was accepted.
    Uncertain(ResponseLoss),
}

/// A callback.
pub(crate) struct ReceivedCallback {
    pub(crate) after: Duration,
    pub(crate) webhook_id: Option<Box<str>>,
    pub(crate) status: Result<DecisionStatus, CallbackContradiction>,
}

/// What a callback may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallbackContradiction {
    /// The body is not exactly the three fields in order.
    Shape,
    /// The station or the token is not the request's.
    Echo,
    /// The status is none of the four.
    Status,
    /// `webhook-id` is not the answer's `x-request-id`.
    RequestId,
    /// A second callback says something else than the first.
    Changed,
    /// The request had been refused as bad.
    Refused,
}

impl CallbackContradiction {
    /// The contradiction in a few words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shape => "body is not the three fields",
            Self::Echo => "station or token not the request's",
            Self::Status => "unknown status",
            Self::RequestId => "webhook-id is not x-request-id",
            Self::Changed => "callbacks differ",
            Self::Refused => "refused and called back",
        }
    }
}

impl LedgerEntry {
    pub(super) fn new(planned: Instant, station_id: Arc<str>) -> Self {
        Self {
            planned,
            station_id,
            ack: RequestAck::Pending,
            first: None,
            repeated: false,
            contradiction: None,
        }
    }

    /// When it was to be sent, which may be before it was.
    pub(crate) fn planned(&self) -> Instant {
        self.planned
    }

    pub(crate) fn station_id(&self) -> &str {
        &self.station_id
    }

    pub(crate) fn ack(&self) -> &RequestAck {
        &self.ack
    }

    /// The first callback.
    pub(crate) fn received(&self) -> Option<&ReceivedCallback> {
        self.first.as_ref()
    }

    /// Whether it was called back more than once.
    pub(crate) fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The first contradiction that was seen.
    pub(crate) fn contradiction(&self) -> Option<CallbackContradiction> {
        self.contradiction
    }

    pub(super) fn set_ack(&mut self, ack: RequestAck) {
        self.ack = ack;
        let found = self.first.as_ref().and_then(|first| self.against_ack(first));
        self.contradiction = self.contradiction.or(found);
    }

    pub(super) fn add(&mut self, received: ReceivedCallback) {
        let changed = self
            .first
            .as_ref()
            .filter(|first| first.status != received.status || first.webhook_id != received.webhook_id)
            .map(|_| CallbackContradiction::Changed);
        let found = received.status.err().or(changed).or_else(|| self.against_ack(&received));
        self.contradiction = self.contradiction.or(found);
        if self.first.is_some() {
            self.repeated = true;
        } else {
            self.first = Some(received);
        }
    }

    fn against_ack(&self, received: &ReceivedCallback) -> Option<CallbackContradiction> {
        match &self.ack {
            RequestAck::Accepted { request_id, .. } => {
                let same = request_id.is_some() && *request_id == received.webhook_id;
                (!same).then_some(CallbackContradiction::RequestId)
            }
            // A 5xx only says that nothing is confirmed; a 4xx says that nothing was accepted.
            RequestAck::Refused { status: 400..500 } => Some(CallbackContradiction::Refused),
            RequestAck::Refused { .. } | RequestAck::Pending | RequestAck::Uncertain(_) => None,
        }
    }
}
