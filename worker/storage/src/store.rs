//! What the worker needs from a store: one decision per request, and the callbacks that follow.

pub mod fair_share;
mod record_outcome;
pub mod row;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{
    CallbackUrl, Decision, GiveUpReason, MessageDecodeError, RequestId, SessionMessage, StationId,
    Traceparent, UnixMillis,
};

pub use self::record_outcome::RecordOutcome;
use crate::error::StoreError;
use crate::queue::MessageKey;

/// What the worker made of one message, to be recorded before the message is acknowledged.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was decided.
    Decided(DecidedMessage),
    /// It could not be decoded.
    Poison(PoisonMessage),
}

impl Outcome {
    /// The message's name in the queue.
    #[must_use]
    pub fn key(&self) -> &MessageKey {
        match self {
            Self::Decided(decided) => &decided.key,
            Self::Poison(poison) => &poison.key,
        }
    }
}

/// A message and its decision.
#[derive(Clone, Debug)]
pub struct DecidedMessage {
    /// The message's name in the queue.
    pub key: MessageKey,
    /// What it asked.
    pub message: SessionMessage,
    /// What was decided.
    pub decision: Decision,
    /// When, by the worker's clock.
    pub decided_at: UnixMillis,
    /// Whether that was after the deadline.
    pub late: bool,
}

/// A message nobody can read.
#[derive(Clone)]
pub struct PoisonMessage {
    /// The message's name in the queue.
    pub key: MessageKey,
    /// What was enqueued. It may hold secrets: it is masked wherever shown.
    pub body: Vec<u8>,
    /// What is wrong with it.
    pub reason: MessageDecodeError,
    /// When it was found, by the worker's clock.
    pub found_at: UnixMillis,
}

impl fmt::Debug for PoisonMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoisonMessage({:?}, {:?}, ..)", self.key, self.reason)
    }
}

/// What became of an [`Outcome`]. Whichever it is, the message may now be acknowledged.
#[derive(Debug)]
pub enum Recorded {
    /// This was the request's first decision. Its callback is due, and leased to the caller.
    Decided(CallbackJob),
    /// The same message was recorded before: it was delivered again because its acknowledgement was lost.
    Redelivered,
    /// Another message asked the same before, and its decision stands. The callback is sent again when it is
    /// finished and was last sent more than a minute ago.
    Duplicate {
        /// Whether the callback is due again.
        resent: bool,
    },
    /// It was put aside.
    Poison,
}

/// A callback to attempt, leased to the caller.
#[derive(Clone)]
pub struct CallbackJob {
    /// The request it reports on: `webhook-id`.
    pub request_id: RequestId,
    /// The attempt's number over the callback's whole life. It fences the lease: only the holder of the newest
    /// attempt may report.
    pub attempt: NonZeroU32,
    /// The attempt's number since the callback was last (re)started: what the retry policy counts.
    pub round_attempt: NonZeroU32,
    /// When the callback was last (re)started: the decision, or a repeat of the request.
    pub round_started_at: UnixMillis,
    /// Where it goes.
    pub callback_url: CallbackUrl,
    /// The station, for the body.
    pub station_id: StationId,
    /// The token as received, for the body. A secret.
    pub driver_token: Box<str>,
    /// What it reports.
    pub decision: Decision,
    /// When the edge accepted the request.
    pub accepted_at: UnixMillis,
    /// When it was decided.
    pub decided_at: UnixMillis,
    /// The trace the request belongs to.
    pub traceparent: Option<Traceparent>,
}

impl fmt::Debug for CallbackJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackJob({}, attempt {}, {:?})", self.request_id, self.attempt, self.callback_url)
    }
}

/// How many callbacks may be claimed: in all, and for each host what is not under way already.
#[derive(Clone, Debug)]
pub struct ClaimLimits {
    /// In all.
    pub total: usize,
    /// Under way at once for one host.
    pub per_host: usize,
    /// Under way now, by host ([`CallbackUrl::host_str`]).
    pub under_way: HashMap<Box<str>, usize>,
}

/// What one attempt came to, and what follows.
#[derive(Clone, Debug)]
pub struct AttemptReport {
    /// The request.
    pub request_id: RequestId,
    /// The attempt; a report of an older attempt than the newest is ignored.
    pub attempt: NonZeroU32,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub result: AttemptResult,
    /// What follows.
    pub next: AfterAttempt,
}

/// What one attempt came to, for the attempt log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The receiver answered with this status.
    Answered(u16),
    /// The name did not resolve.
    Unresolved,
    /// The address is forbidden.
    Blocked,
    /// No connection, or TLS failed.
    Unreachable,
    /// No whole answer in time.
    TimedOut,
    /// The answer was cut, no HTTP, or too large.
    BadAnswer,
}

impl AttemptResult {
    /// The name in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered(200..=299) => "delivered",
            Self::Answered(_) => "refused",
            Self::Unresolved => "unresolved",
            Self::Blocked => "blocked_address",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
        }
    }
}

/// What follows an attempt, at which moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// Nothing: the callback has arrived.
    Delivered {
        /// When.
        at: UnixMillis,
    },
    /// Another attempt.
    Retry {
        /// Not before this.
        due_at: UnixMillis,
    },
    /// Nothing: it is a dead letter.
    Dead {
        /// When.
        at: UnixMillis,
        /// Why.
        reason: GiveUpReason,
    },
}

/// Decisions and their callbacks.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records outcomes, each decision together with its callback in one transaction, and says in the same order
    /// what became of each. Recording again is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; none of them is recorded then, or all are.
    async fn record(&self, outcomes: Vec<Outcome>) -> Result<Vec<Recorded>, StoreError>;

    /// Leases callbacks that are due at `now`, hosts taking turns.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, now: UnixMillis, limits: ClaimLimits) -> Result<Vec<CallbackJob>, StoreError>;

    /// Hands callbacks back unattempted: they are due at once, and the attempt does not count.
    ///
    /// # Errors
    /// [`StoreError`]; the callbacks come again when their leases end.
    async fn release(&self, jobs: Vec<(RequestId, NonZeroU32)>) -> Result<(), StoreError>;

    /// Records what attempts came to.
    ///
    /// # Errors
    /// [`StoreError`]; the callbacks come again when their leases end.
    async fn report(&self, reports: Vec<AttemptReport>) -> Result<(), StoreError>;

    /// Deletes what was finished before `before`, a bounded number of rows, and says whether more is left.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn purge(&self, before: UnixMillis) -> Result<bool, StoreError>;

    /// Callbacks not finished yet, and dead letters.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn backlog(&self) -> Result<CallbackBacklog, StoreError>;
}

/// How much is left to deliver: a store that would have to count beyond 10,000 may give an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackBacklog {
    /// Callbacks neither delivered nor given up.
    pub in_flight: u64,
    /// Dead letters kept.
    pub dead: u64,
}
