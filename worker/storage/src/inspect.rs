//! Read-only access to a store for operators: tokens are masked, and only the host of a callback URL is shown.

mod mask;

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{RequestId, UnixMillis};

pub use self::mask::MaskedToken;
use crate::error::StoreError;

/// Read-only access to the decisions of a store.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Lists at most `limit` decisions from `cursor` on, newest first.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another store is [`StoreError::Unreadable`].
    async fn decisions(
        &self,
        filter: &DecisionFilter,
        limit: u32,
        cursor: Option<DecisionCursor>,
    ) -> Result<DecisionPage, StoreError>;

    /// Looks up a decision.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn decision(&self, id: &RequestId) -> Result<Option<DecisionDetail>, StoreError>;
}

/// Filter of decisions. Names are compared as stored, so that those of a newer version are found too.
#[derive(Clone, Default)]
pub struct DecisionFilter {
    /// The station, in the case as received.
    pub station_id: Option<String>,
    /// The status.
    pub status: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// Earliest time of the decision.
    pub since: Option<UnixMillis>,
    /// The exact driver token.
    pub driver_token: Option<String>,
    /// State of the callback: pending, delivered or dead.
    pub callback: Option<String>,
}

/// Start of the next page: a text that only the store that returned it can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionCursor(Box<str>);

impl DecisionCursor {
    /// Returns the cursor as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for DecisionCursor {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// A page of decisions, newest first.
#[derive(Clone, Debug)]
pub struct DecisionPage {
    /// The decisions.
    pub decisions: Vec<DecisionSummary>,
    /// Start of the next page, if there may be one.
    pub next: Option<DecisionCursor>,
}

/// A decision in a list.
#[derive(Clone, Debug)]
pub struct DecisionSummary {
    /// The request.
    pub request_id: RequestId,
    /// The station.
    pub station_id: String,
    /// The masked driver token.
    pub driver_token: MaskedToken,
    /// The status.
    pub status: String,
    /// The reason.
    pub reason: String,
    /// Time at which the request was accepted.
    pub accepted_at: UnixMillis,
    /// Time of the decision.
    pub decided_at: UnixMillis,
    /// Set if the decision was after the deadline.
    pub late: bool,
    /// The state of the callback.
    pub callback: CallbackSummary,
}

/// State of a callback.
#[derive(Clone, Debug)]
pub struct CallbackSummary {
    /// `pending`, `delivered`, `dead`, or `missing` if there is none.
    pub state: String,
    /// The host.
    pub host: String,
    /// Number of attempts begun.
    pub attempts: u64,
    /// Due time or end of the lease, while pending.
    pub due_at: Option<UnixMillis>,
    /// Set while an attempt is in flight.
    pub leased: bool,
    /// Time of delivery or of giving up.
    pub finished_at: Option<UnixMillis>,
    /// Reason for giving up.
    pub give_up: Option<String>,
}

/// A decision with its details.
#[derive(Clone, Debug)]
pub struct DecisionDetail {
    /// The decision.
    pub decision: DecisionSummary,
    /// The trace.
    pub traceparent: Option<String>,
    /// Key of the message.
    pub message_key: String,
    /// Number of duplicate requests.
    pub duplicates: u64,
    /// The callback attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// A callback attempt.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The number.
    pub number: NonZeroU32,
    /// Start time.
    pub started_at: UnixMillis,
    /// Duration.
    pub took: Duration,
    /// The result.
    pub result: String,
    /// HTTP status of the response.
    pub http_status: Option<u16>,
}
