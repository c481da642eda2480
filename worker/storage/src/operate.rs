//! Actions of operators on callbacks, receiver hosts, poison messages and personal data.
//!
//! Every action is recorded in the audit trail of the store, in the transaction that performs it. An action on many rows
//! is performed in batches: each batch is bounded, the caller paces them, and an interrupted action continues at the
//! cursor of its last batch. Repeating a batch is harmless.

mod audit;
mod callbacks;
mod forget;
mod host_name;
mod hosts;
mod pauses;
mod poison;
mod request;

use async_trait::async_trait;

pub use self::audit::{ActionId, AuditEntry, AuditError, AuditPage, AuditRecord, OperatorName};
pub use self::callbacks::{
    BulkAction, BulkProgress, CallbackChange, CallbackFilter, CallbackPage, CallbackState, DISCARDED,
    ListedCallback, MAX_BATCH, find_callbacks,
};
pub use self::forget::{
    DecisionPlace, DecisionPlaces, ForgetOutcome, ForgetProgress, ForgottenToken, quoted,
};
pub use self::host_name::{ReceiverHostName, ReceiverHostNameError};
pub use self::hosts::{HostSummaries, LastAnswer, ReceiverHostSummary, UnavailableHost};
pub use self::pauses::{HostPause, HostPauses, PAUSE_RETENTION};
pub use self::poison::{MaskedBody, PoisonEntry, PoisonPage};
pub use self::request::{
    CallbackBatch, ForgetBatch, HostAction, HostChange, HostRequest, OperatorIdentity, Operators,
    PoisonBatch, RequestError,
};
use crate::error::StoreError;

/// Changes that operators make to a store. Each call is one transaction, together with its entry in the audit trail;
/// an entry with the id of another action is refused as [`StoreError::OtherAction`], and nothing is changed.
#[async_trait]
pub trait Operate: Send + Sync {
    /// Retries or discards callbacks, and returns the number of those changed. A callback with an attempt in flight is
    /// not changed.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then, or all.
    async fn change_callbacks(&self, change: &CallbackChange, audit: &AuditEntry) -> Result<u64, StoreError>;

    /// Pauses a host: its callbacks wait, and the time of the pause does not count against the time for their delivery.
    /// Returns whether it was not paused before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn pause_host(&self, host: &str, audit: &AuditEntry) -> Result<bool, StoreError>;

    /// Ends the pause of a host. Returns whether it was paused.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn resume_host(&self, host: &str, audit: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes poison messages by their ids, and returns their number. They stay counted.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn discard_poison(&self, ids: &[String], audit: &AuditEntry) -> Result<u64, StoreError>;

    /// Erases a driver token from these decisions, and the bodies of these poison messages. Pending callbacks are
    /// discarded first; a decision whose callback has an attempt in flight keeps its token.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(
        &self,
        token: &ForgottenToken,
        decisions: &[DecisionPlace],
        poison: &[String],
        audit: &AuditEntry,
    ) -> Result<ForgetOutcome, StoreError>;
}
