//! Erasure of one person's driver token.

use std::fmt;

use chargegate_core::RequestId;
use serde::{Deserialize, Serialize};

use crate::inspect::PageCursor;

/// A driver token to erase, everywhere or at one station. An erased token is empty.
#[derive(Clone, Serialize, Deserialize)]
pub struct ForgottenToken {
    /// The token. A secret.
    pub driver_token: Box<str>,
    /// The station, in the case as received; `None` for all stations.
    #[serde(default)]
    pub station_id: Option<String>,
}

impl ForgottenToken {
    /// Returns the selection for the audit trail, which does not hold the token.
    #[must_use]
    pub fn selection(&self) -> String {
        match &self.station_id {
            Some(station) => format!("one driver token at station {station}"),
            None => "one driver token".to_owned(),
        }
    }
}

impl fmt::Debug for ForgottenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForgottenToken").field("station_id", &self.station_id).finish_non_exhaustive()
    }
}

/// Returns a text as it stands in a JSON message. A text that the message escapes differs.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A decision and its position in the store, which only the store understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionPlace {
    /// The request.
    pub request_id: RequestId,
    /// The position.
    pub position: i64,
}

/// A page of decisions that hold a token.
#[derive(Clone, Debug)]
pub struct DecisionPlaces {
    /// The decisions.
    pub decisions: Vec<DecisionPlace>,
    /// Start of the next page, if there may be one.
    pub next: Option<PageCursor>,
}

/// Rows that an erasure found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetOutcome {
    /// Decisions from which the token was erased.
    pub decisions: u64,
    /// Pending callbacks that were discarded, since their body holds the token.
    pub callbacks_discarded: u64,
    /// Poison messages whose body was erased.
    pub poison: u64,
    /// Decisions that keep the token, because an attempt to deliver their callback is in flight.
    pub in_flight: u64,
}

impl ForgetOutcome {
    /// Adds the rows of a further batch.
    pub fn add(&mut self, batch: Self) {
        self.decisions += batch.decisions;
        self.callbacks_discarded += batch.callbacks_discarded;
        self.poison += batch.poison;
        self.in_flight += batch.in_flight;
    }
}

/// Progress of an erasure in batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForgetProgress {
    /// Rows of this batch.
    #[serde(flatten)]
    pub outcome: ForgetOutcome,
    /// Start of the next batch, if there may be one.
    pub next: Option<PageCursor>,
}
