//! Read-only access to a store for operators: tokens are masked, and only the host of a callback URL is shown.

mod mask;
pub(crate) mod wire;

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{RequestId, UnixMillis};
use serde::{Deserialize, Serialize};

pub use self::mask::MaskedToken;
use crate::error::StoreError;
use crate::operate::{
    AuditPage, CallbackPage, CallbackState, DecisionPlaces, ForgottenToken, PoisonEntry, PoisonPage,
    ReceiverHostSummary,
};

/// Read-only access to a store.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Lists at most `limit` decisions from `cursor` on, newest first.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another list is [`StoreError::ForeignCursor`].
    async fn decisions(
        &self,
        filter: &DecisionFilter,
        limit: u32,
        cursor: Option<PageCursor>,
    ) -> Result<DecisionPage, StoreError>;

    /// Looks up a decision.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn decision(&self, id: &RequestId) -> Result<Option<DecisionDetail>, StoreError>;

    /// Lists at most `limit` decisions that hold a token from `cursor` on, those included that retention has expired and
    /// not yet deleted.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another list is [`StoreError::ForeignCursor`].
    async fn decisions_with_token(
        &self,
        token: &ForgottenToken,
        limit: u32,
        cursor: Option<PageCursor>,
    ) -> Result<DecisionPlaces, StoreError>;

    /// Returns the ids of the poison messages that contain a token as a JSON string, and its station as well if it has
    /// one. Reads every poison message.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn poison_with_token(&self, token: &ForgottenToken) -> Result<Vec<String>, StoreError>;

    /// Lists at most `limit` callbacks in a state from `cursor` on.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another list is [`StoreError::ForeignCursor`].
    async fn callbacks(
        &self,
        state: CallbackState,
        limit: u32,
        cursor: Option<&PageCursor>,
    ) -> Result<CallbackPage, StoreError>;

    /// Lists receiver hosts, those with most dead letters and pending callbacks first, a bounded number.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn hosts(&self) -> Result<Vec<ReceiverHostSummary>, StoreError>;

    /// Lists at most `limit` poison messages from `cursor` on, newest first.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another list is [`StoreError::ForeignCursor`].
    async fn poison(&self, limit: u32, cursor: Option<&PageCursor>) -> Result<PoisonPage, StoreError>;

    /// Looks up a poison message by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn poison_message(&self, id: &str) -> Result<Option<PoisonEntry>, StoreError>;

    /// Lists at most `limit` actions of operators from `cursor` on, newest first.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another list is [`StoreError::ForeignCursor`].
    async fn audit(&self, limit: u32, cursor: Option<&PageCursor>) -> Result<AuditPage, StoreError>;
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor(Box<str>);

impl PageCursor {
    /// Returns the cursor as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Creates the cursor after a row, which its number and its id place in the order of a list.
    #[must_use]
    pub fn after(number: i64, id: &str) -> Self {
        Self(format!("{number}.{id}").into())
    }

    /// Returns the number and the id of [`PageCursor::after`].
    ///
    /// # Errors
    /// [`StoreError::ForeignCursor`].
    pub fn position(&self) -> Result<(i64, &str), StoreError> {
        let read = || {
            let (number, id) = self.0.split_once('.')?;
            Some((number.parse().ok()?, id))
        };
        read().ok_or(StoreError::ForeignCursor)
    }
}

impl From<String> for PageCursor {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// A page of decisions, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionPage {
    /// The decisions.
    pub decisions: Vec<DecisionSummary>,
    /// Start of the next page, if there may be one.
    pub next: Option<PageCursor>,
}

/// A decision in a list.
#[derive(Clone, Debug, Serialize)]
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
    #[serde(serialize_with = "wire::time")]
    pub accepted_at: UnixMillis,
    /// Time of the decision.
    #[serde(serialize_with = "wire::time")]
    pub decided_at: UnixMillis,
    /// Set if the decision was after the deadline.
    pub late: bool,
    /// The state of the callback.
    pub callback: CallbackSummary,
}

/// State of a callback.
#[derive(Clone, Debug, Serialize)]
pub struct CallbackSummary {
    /// `pending`, `delivered`, `dead`, or `missing` if there is none.
    pub state: String,
    /// The host.
    pub host: String,
    /// Number of attempts begun.
    pub attempts: u64,
    /// Due time or end of the lease, while pending.
    #[serde(serialize_with = "wire::optional_time")]
    pub due_at: Option<UnixMillis>,
    /// Set while an attempt is in flight.
    pub leased: bool,
    /// Time of delivery or of giving up.
    #[serde(serialize_with = "wire::optional_time")]
    pub finished_at: Option<UnixMillis>,
    /// Reason for giving up.
    pub give_up: Option<String>,
}

/// A decision with its details.
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub struct AttemptRecord {
    /// The number.
    pub number: NonZeroU32,
    /// Start time.
    #[serde(serialize_with = "wire::time")]
    pub started_at: UnixMillis,
    /// Duration.
    #[serde(rename = "took_ms", serialize_with = "wire::milliseconds")]
    pub took: Duration,
    /// The result.
    pub result: String,
    /// HTTP status of the response.
    pub http_status: Option<u16>,
}
