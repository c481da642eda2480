//! One request, its response and its callbacks.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::DecisionStatus;
use tokio::time::Instant;

use crate::send::callback::CallbackContradiction;
use crate::send::client::ResponseLoss;

/// One request, its response and its callbacks.
pub(crate) struct LedgerEntry {
    planned: Instant,
    station_id: Arc<str>,
    ack: RequestAck,
    first: Option<ReceivedCallback>,
    repeated: bool,
    contradiction: Option<CallbackContradiction>,
}

/// The response to a request.
#[derive(Clone, Debug)]
pub(crate) enum RequestAck {
    /// No response yet.
    Pending,
    /// Status 202.
    Accepted { after: Duration, request_id: Option<Box<str>> },
    /// Another status.
    Refused { status: u16 },
    /// No complete response: the request may or may not have been accepted.
    Uncertain(ResponseLoss),
}

/// A received callback.
pub(crate) struct ReceivedCallback {
    pub(crate) after: Duration,
    pub(crate) webhook_id: Option<Box<str>>,
    pub(crate) status: Result<DecisionStatus, CallbackContradiction>,
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

    /// Returns the planned send time; the request may have been sent later.
    pub(crate) fn planned(&self) -> Instant {
        self.planned
    }

    pub(crate) fn station_id(&self) -> &str {
        &self.station_id
    }

    pub(crate) fn ack(&self) -> &RequestAck {
        &self.ack
    }

    /// Returns the first callback.
    pub(crate) fn first_callback(&self) -> Option<&ReceivedCallback> {
        self.first.as_ref()
    }

    /// Returns whether more than one callback arrived.
    pub(crate) fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Returns the first contradiction found.
    pub(crate) fn contradiction(&self) -> Option<CallbackContradiction> {
        self.contradiction
    }

    pub(super) fn set_ack(&mut self, ack: RequestAck) {
        self.ack = ack;
        let found = self.first.as_ref().and_then(|first| self.contradiction_with_ack(first));
        self.contradiction = self.contradiction.or(found);
    }

    pub(super) fn add_callback(&mut self, received: ReceivedCallback) {
        let changed = self
            .first
            .as_ref()
            .filter(|first| first.status != received.status || first.webhook_id != received.webhook_id)
            .map(|_| CallbackContradiction::Changed);
        let found = received.status.err().or(changed).or_else(|| self.contradiction_with_ack(&received));
        self.contradiction = self.contradiction.or(found);
        if self.first.is_some() {
            self.repeated = true;
        } else {
            self.first = Some(received);
        }
    }

    fn contradiction_with_ack(&self, received: &ReceivedCallback) -> Option<CallbackContradiction> {
        match &self.ack {
            RequestAck::Accepted { request_id, .. } => {
                let same = request_id.is_some() && *request_id == received.webhook_id;
                (!same).then_some(CallbackContradiction::RequestId)
            }
            // A 5xx only means that nothing is confirmed; a 4xx means that nothing was accepted.
            RequestAck::Refused { status: 400..500 } => Some(CallbackContradiction::Refused),
            RequestAck::Refused { .. } | RequestAck::Pending | RequestAck::Uncertain(_) => None,
        }
    }
}
