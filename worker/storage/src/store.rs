//! The store trait and its types: one decision per request, and the callbacks that follow.

pub mod fair_share;
pub mod row;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{
    CallbackUrl, Decision, GiveUpReason, MessageDecodeError, RequestId, SessionMessage, StationId,
    Traceparent, UnixMillis,
};

use crate::error::StoreError;
use crate::queue::MessageKey;

/// Default duration of the lease of a callback: longer than the longest attempt.
pub const DEFAULT_CALLBACK_LEASE: Duration = Duration::from_mins(1);

/// The outcome of a message, recorded before the message is acknowledged.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The message was decided.
    Decided(DecidedMessage),
    /// The message cannot be decoded.
    Poison(PoisonMessage),
}

impl Outcome {
    /// Returns the key of the message in the queue.
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
    /// The key of the message in the queue.
    pub key: MessageKey,
    /// The request.
    pub message: SessionMessage,
    /// The decision.
    pub decision: Decision,
    /// Time of the decision by the worker's clock.
    pub decided_at: UnixMillis,
    /// Set if the decision was after the deadline.
    pub late: bool,
}

/// A message that cannot be decoded.
#[derive(Clone)]
pub struct PoisonMessage {
    /// The key of the message in the queue.
    pub key: MessageKey,
    /// The body. It may hold secrets: it is masked wherever shown.
    pub body: Vec<u8>,
    /// The reason.
    pub reason: MessageDecodeError,
    /// Time of the attempt to decode it, by the worker's clock.
    pub found_at: UnixMillis,
}

impl fmt::Debug for PoisonMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoisonMessage({:?}, {:?}, ..)", self.key, self.reason)
    }
}

/// Verdict of a store on a recorded [`Outcome`]. The message may be acknowledged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordVerdict {
    /// The first decision of the request. Its callback is leased to the caller as [`CallbackJob::first_attempt`].
    Decided,
    /// The first decision of the request. Its callback waits, because an operator paused its host.
    DecidedPaused,
    /// The same message was recorded before and delivered again, because its acknowledgement was lost.
    Redelivered,
    /// The request was decided by an earlier message, whose decision stands. The callback is sent again if it is
    /// finished and was last sent more than a minute ago.
    Duplicate {
        /// Set if the callback is due again.
        resent: bool,
    },
    /// The message was moved to the poison table.
    Poison,
}

/// A callback to attempt, leased to the caller.
#[derive(Clone)]
pub struct CallbackJob {
    /// The request: `webhook-id`.
    pub request_id: RequestId,
    /// Number of the attempt since the decision. It fences the lease: only the newest attempt may report.
    pub attempt: NonZeroU32,
    /// Number of the attempt since the callback was last (re)started, which the retry policy counts.
    pub round_attempt: NonZeroU32,
    /// Time from the last (re)start to the lease, by the clock of the store. The decision starts a callback, and a repeat
    /// of the request restarts it.
    pub round_age: Duration,
    /// The callback URL.
    pub callback_url: CallbackUrl,
    /// The station, for the body.
    pub station_id: StationId,
    /// The token as received, for the body. A secret.
    pub driver_token: Box<str>,
    /// The decision.
    pub decision: Decision,
    /// Time at which the edge accepted the request.
    pub accepted_at: UnixMillis,
    /// Time of the decision.
    pub decided_at: UnixMillis,
    /// The trace of the request.
    pub traceparent: Option<Traceparent>,
}

impl CallbackJob {
    /// Returns the first attempt of a callback, which the record of a first decision leases to its caller.
    #[must_use]
    pub fn first_attempt(decided: DecidedMessage) -> Self {
        let DecidedMessage { message, decision, decided_at, .. } = decided;
        Self {
            request_id: message.id,
            attempt: NonZeroU32::MIN,
            round_attempt: NonZeroU32::MIN,
            round_age: Duration::ZERO,
            station_id: message.station_id,
            driver_token: message.driver_token.as_str().into(),
            callback_url: message.callback_url,
            decision,
            accepted_at: message.accepted_at,
            decided_at,
            traceparent: message.traceparent,
        }
    }
}

impl fmt::Debug for CallbackJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackJob({}, attempt {}, {:?})", self.request_id, self.attempt, self.callback_url)
    }
}

/// Limits of a claim, in total and per host.
#[derive(Clone, Debug)]
pub struct ClaimLimits {
    /// Maximum number of callbacks.
    pub total: usize,
    /// Maximum number of attempts in flight per host.
    pub per_host: usize,
    /// Attempts in flight now, by host ([`CallbackUrl::host_str`]).
    pub under_way: HashMap<Box<str>, usize>,
}

impl ClaimLimits {
    /// The number of attempts in flight that marks a paused host.
    pub const PAUSED: usize = usize::MAX;

    /// Returns the paused hosts.
    #[must_use]
    pub fn paused_hosts(&self) -> HashSet<&str> {
        let paused = self.under_way.iter().filter(|(_, under_way)| **under_way == Self::PAUSED);
        paused.map(|(host, _)| &**host).collect()
    }

    /// Returns whether no callback may be claimed.
    #[must_use]
    pub fn allow_nothing(&self) -> bool {
        self.total == 0 || self.per_host == 0
    }

    /// Returns the number of attempts that may begin for a host.
    #[must_use]
    pub fn free(&self, host: &str) -> usize {
        self.per_host.saturating_sub(self.under_way.get(host).copied().unwrap_or(0))
    }

    /// Returns the hosts at their limit.
    #[must_use]
    pub fn saturated_hosts(&self) -> Vec<&str> {
        self.under_way.keys().map(|host| &**host).filter(|host| self.free(host) == 0).collect()
    }
}

/// Report of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptReport {
    /// The request.
    pub request_id: RequestId,
    /// The attempt; a report of any but the newest attempt is ignored.
    pub attempt: NonZeroU32,
    /// Start time.
    pub started_at: UnixMillis,
    /// Duration.
    pub took: Duration,
    /// The result.
    pub result: AttemptResult,
    /// The next step.
    pub next: AfterAttempt,
}

impl AttemptReport {
    /// Returns the reports that count: of several reports of one attempt the first.
    pub fn first_of_each<'a>(reports: impl IntoIterator<Item = &'a Self>) -> impl Iterator<Item = &'a Self> {
        let mut seen = HashSet::new();
        reports.into_iter().filter(move |report| seen.insert((report.request_id, report.attempt)))
    }
}

/// Result of an attempt, for the attempt log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The receiver responded with this status.
    Answered(u16),
    /// The name did not resolve.
    Unresolved(LookupFailure),
    /// The policy on destinations forbids the URL or every address of its host.
    Blocked,
    /// No connection, or TLS failed.
    Unreachable,
    /// No complete response in time.
    TimedOut,
    /// The response was truncated, not HTTP, or its head too large.
    BadAnswer,
    /// No attempt was made: the receiver was unavailable until the time was used up, or too many callbacks to its host were
    /// waiting.
    Withheld,
}

impl AttemptResult {
    /// Returns the name in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered(200..=299) => "delivered",
            Self::Answered(_) => "refused",
            Self::Unresolved(failure) => failure.as_str(),
            Self::Blocked => "blocked_address",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
            Self::Withheld => "withheld",
        }
    }

    /// Returns the HTTP status of the response, if there was one.
    #[must_use]
    pub const fn http_status(self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status),
            _ => None,
        }
    }
}

/// The reason why a name does not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// The name does not exist, or has no address.
    NoAddress,
    /// No name server answered in time.
    TimedOut,
    /// The name servers failed.
    ServerFailed,
}

impl LookupFailure {
    /// Returns the name in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "unresolved",
            Self::TimedOut => "unresolved_timed_out",
            Self::ServerFailed => "unresolved_server_failed",
        }
    }
}

/// A callback that was leased and not attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedCallback {
    /// The request.
    pub request_id: RequestId,
    /// The attempt that was not made.
    pub attempt: NonZeroU32,
    /// Time from the release until it is due.
    pub after: Duration,
}

impl ReleasedCallback {
    /// Releases a callback that is due at once.
    #[must_use]
    pub fn now(job: &CallbackJob) -> Self {
        Self { request_id: job.request_id, attempt: job.attempt, after: Duration::ZERO }
    }
}

/// A receiver that workers found unavailable, and call only by probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailableReceiver {
    /// The host or the address with its port, as text.
    pub receiver: String,
    /// Failed probes.
    pub probes: u32,
    /// Time until the next probe.
    pub probe_after: Duration,
}

/// Longest time for which a store keeps a receiver that no worker reports any more.
pub const UNAVAILABLE_RECEIVER_RETENTION: Duration = Duration::from_hours(1);

/// Most unavailable receivers that a store returns.
pub const MAX_UNAVAILABLE_RECEIVERS: usize = 10_000;

/// Most callbacks that one [`Store::wake`] makes due; the others follow by their schedule.
pub const MAX_WOKEN_CALLBACKS: u32 = 1000;

/// The step after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// The callback is delivered.
    Delivered,
    /// The attempt is repeated.
    Retry {
        /// Shortest time from the report to the next attempt.
        after: Duration,
    },
    /// The callback is a dead letter.
    Dead {
        /// The reason.
        reason: GiveUpReason,
    },
}

/// Decisions and their callbacks.
///
/// A store compares times only by its own clock: it receives and returns delays and ages, which mean the same to workers
/// whose clocks differ. The times in outcomes and reports are facts for operators, by the clock of the worker.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records outcomes, each decision together with its callback in one transaction, and returns a verdict on each in the
    /// same order. Recording again is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; either none of the outcomes is recorded, or all are.
    async fn record(&self, outcomes: &[Outcome]) -> Result<Vec<RecordVerdict>, StoreError>;

    /// Leases callbacks that are due, with a fair share for each host.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, limits: ClaimLimits) -> Result<Vec<CallbackJob>, StoreError>;

    /// Releases callbacks that were not attempted: the attempt does not count.
    ///
    /// # Errors
    /// [`StoreError`]; the callbacks are due again when their leases end.
    async fn release(&self, released: &[ReleasedCallback]) -> Result<(), StoreError>;

    /// Makes callbacks to hosts due that were released before their first attempt, at most [`MAX_WOKEN_CALLBACKS`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn wake(&self, hosts: &[Box<str>]) -> Result<(), StoreError>;

    /// Stores the receivers that became unavailable, removes those that became available, and returns all unavailable
    /// ones, up to [`MAX_UNAVAILABLE_RECEIVERS`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sync_receivers(
        &self,
        unavailable: &[UnavailableReceiver],
        available: &[String],
    ) -> Result<Vec<UnavailableReceiver>, StoreError>;

    /// Returns those of `hosts` to which more than `limit` callbacks are pending.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn backlogged_hosts(&self, hosts: &[Box<str>], limit: u32) -> Result<Vec<Box<str>>, StoreError>;

    /// Records the results of attempts.
    ///
    /// # Errors
    /// [`StoreError`]; the callbacks are due again when their leases end.
    async fn report(&self, reports: &[AttemptReport]) -> Result<(), StoreError>;

    /// Deletes a bounded number of requests that finished longer than `older_than` ago, and returns whether more are left.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn purge(&self, older_than: Duration) -> Result<bool, StoreError>;

    /// Counts pending callbacks and dead letters.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn backlog(&self) -> Result<CallbackBacklog, StoreError>;
}

/// Number of pending callbacks and dead letters; a store may estimate counts above 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackBacklog {
    /// Pending callbacks.
    pub in_flight: u64,
    /// Dead letters kept.
    pub dead: u64,
}
