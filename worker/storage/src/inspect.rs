//! What operators may read of a store, the same whichever store it is: tokens masked, of callback URLs the host.

mod mask;

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{RequestId, UnixMillis};

pub use self::mask::MaskedToken;
use crate::error::StoreError;

/// A view of a store that cannot change it.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Lists decisions, newest first, `limit` at most, from `cursor` on.
    ///
    /// # Errors
    /// [`StoreError`]; a cursor of another store is [`StoreError::Unreadable`].
    async fn decisions(
        &self,
        filter: &DecisionFilter,
        limit: u32,
        cursor: Option<DecisionCursor>,
    ) -> Result<DecisionPage, StoreError>;

    /// Looks one decision up.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn decision(&self, id: &RequestId) -> Result<Option<DecisionDetail>, StoreError>;
}

/// Which decisions to list. Names are compared as they stand in the store, so that a newer version's are found too.
#[derive(Clone, Default)]
pub struct DecisionFilter {
    /// Of this station, in the case it was received in.
    pub station_id: Option<String>,
    /// With this status.
    pub status: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// Decided then or later.
    pub since: Option<UnixMillis>,
    /// Of exactly this driver token.
    pub driver_token: Option<String>,
    /// Whose callback is in this state: pending, delivered or dead.
    pub callback: Option<String>,
}

/// Where the next page begins: a text that only the store which gave it can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionCursor(Box<str>);

impl DecisionCursor {
    /// The cursor as text, to be handed back later.
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

/// Some decisions, newest first.
#[derive(Clone, Debug)]
pub struct DecisionPage {
    /// The decisions.
    pub decisions: Vec<DecisionSummary>,
    /// Where older ones begin, if there may be any.
    pub next: Option<DecisionCursor>,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct DecisionSummary {
    /// The request.
    pub request_id: RequestId,
    /// Where the driver wanted to charge.
    pub station_id: String,
    /// Who the driver is, masked.
    pub driver_token: MaskedToken,
    /// What was decided.
    pub status: String,
    /// Why.
    pub reason: String,
    /// When the request was accepted.
    pub accepted_at: UnixMillis,
    /// When it was decided.
    pub decided_at: UnixMillis,
    /// Whether that was after the deadline.
    pub late: bool,
    /// How far the callback is.
    pub callback: CallbackSummary,
}

/// How far a callback is.
#[derive(Clone, Debug)]
pub struct CallbackSummary {
    /// `pending`, `delivered`, `dead`, or `missing` where there is none.
    pub state: String,
    /// Where it goes.
    pub host: String,
    /// Attempts begun.
    pub attempts: u64,
    /// When pending: when it is due, or when the lease on it ends.
    pub due_at: Option<UnixMillis>,
    /// Whether an attempt is under way.
    pub leased: bool,
    /// When it arrived or was given up.
    pub finished_at: Option<UnixMillis>,
    /// Why it was given up.
    pub give_up: Option<String>,
}

/// One decision with all that is known of it.
#[derive(Clone, Debug)]
pub struct DecisionDetail {
    /// The decision.
    pub decision: DecisionSummary,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// The message that asked.
    pub message_key: String,
    /// How often it was asked again.
    pub duplicates: u64,
    /// The attempts to call back, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// One attempt to call back.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Its number.
    pub number: NonZeroU32,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub result: String,
    /// What the receiver answered.
    pub http_status: Option<u16>,
}
