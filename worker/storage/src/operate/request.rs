//! Requests of operators, in the form in which they reach a process, and their execution on a store.

use std::sync::Arc;

use chargegate_core::RequestId;
use serde::{Deserialize, Serialize};

use super::{
    ActionId, AuditEntry, BulkAction, BulkProgress, CallbackChange, CallbackFilter, CallbackPage,
    ForgetProgress, ForgottenToken, MAX_BATCH, Operate, OperatorName, ReceiverHostName, find_callbacks,
};
use crate::effects::Random;
use crate::error::StoreError;
use crate::inspect::{Inspect, PageCursor};

/// Maximum number of ids that the audit trail names.
const MAX_NAMED: usize = 10;

/// One batch of an action on callbacks: of the requests in `ids`, or of those that `filter` selects.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallbackBatch {
    /// The requests, at most [`MAX_BATCH`].
    pub ids: Vec<RequestId>,
    /// The filter.
    pub filter: Option<CallbackFilter>,
    /// Start of the batch: `next` of the previous one.
    pub cursor: Option<PageCursor>,
    /// Maximum number of callbacks that the filter selects; at most [`MAX_BATCH`], which is the default.
    pub limit: Option<usize>,
    /// Set to count only.
    pub dry_run: bool,
    /// The action to which the batch belongs; `None` for a new one.
    pub action_id: Option<ActionId>,
}

/// Removal of poison messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoisonBatch {
    /// The ids, at most [`MAX_BATCH`].
    pub ids: Vec<String>,
    /// The action to which the batch belongs; `None` for a new one.
    pub action_id: Option<ActionId>,
}

/// A host to pause or to resume.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRequest {
    /// The host, as in the callback URLs.
    pub host: ReceiverHostName,
}

/// Action on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAction {
    /// Its callbacks wait.
    Pause,
    /// Its callbacks continue.
    Resume,
}

/// Result of an action on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChange {
    /// Set if the host was not in that state before.
    pub changed: bool,
}

/// One batch of an erasure. The first one also searches the poison messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "ForgetBody", into = "ForgetBody")]
pub struct ForgetBatch {
    /// The token.
    pub token: ForgottenToken,
    /// Start of the batch: `next` of the previous one.
    pub cursor: Option<PageCursor>,
    /// Set to search only decisions: an earlier batch searched the poison messages.
    pub decisions_only: bool,
    /// The action to which the batch belongs; `None` for a new one.
    pub action_id: Option<ActionId>,
}

/// The fields of a [`ForgetBatch`] in JSON. Unknown ones are refused: without its station a token is erased everywhere.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetBody {
    driver_token: Box<str>,
    #[serde(default)]
    station_id: Option<String>,
    #[serde(default)]
    cursor: Option<PageCursor>,
    #[serde(default)]
    decisions_only: bool,
    #[serde(default)]
    action_id: Option<ActionId>,
}

impl From<ForgetBody> for ForgetBatch {
    fn from(body: ForgetBody) -> Self {
        let ForgetBody { driver_token, station_id, cursor, decisions_only, action_id } = body;
        Self { token: ForgottenToken { driver_token, station_id }, cursor, decisions_only, action_id }
    }
}

impl From<ForgetBatch> for ForgetBody {
    fn from(batch: ForgetBatch) -> Self {
        let ForgetBatch { token, cursor, decisions_only, action_id } = batch;
        let ForgottenToken { driver_token, station_id } = token;
        Self { driver_token, station_id, cursor, decisions_only, action_id }
    }
}

/// The operator of a request, and the source of ids for new actions.
#[derive(Clone, Debug)]
pub struct OperatorIdentity {
    /// The name.
    pub name: OperatorName,
    /// Random source.
    pub random: Arc<dyn Random>,
}

/// Error of a request of an operator.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Neither ids nor a filter select rows, or both do.
    #[error("name either ids or a filter")]
    Selection,
    /// There are too many ids.
    #[error("name at most 500 ids")]
    TooMany,
    /// A text is unusable.
    #[error("{0}")]
    Text(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store as operators use it.
#[derive(Clone)]
pub struct Operators {
    /// Read-only access.
    pub view: Arc<dyn Inspect>,
    /// Changes.
    pub operate: Arc<dyn Operate>,
}

impl Operators {
    /// Performs one batch of an action on callbacks.
    ///
    /// # Errors
    /// [`RequestError`]; the batch may be repeated.
    pub async fn change_callbacks(
        &self,
        action: BulkAction,
        batch: CallbackBatch,
        operator: &OperatorIdentity,
    ) -> Result<BulkProgress, RequestError> {
        let CallbackBatch { ids, filter, cursor, limit, dry_run, action_id } = batch;
        let continues = cursor.is_some();
        let (ids, state, selection, next) = match filter {
            None if !ids.is_empty() => {
                let selection = named(&ids)?;
                (ids, None, selection, None)
            }
            Some(filter) if ids.is_empty() => {
                let limit = limit.unwrap_or(MAX_BATCH).min(MAX_BATCH);
                if limit == 0 {
                    return Err(RequestError::Text("a limit is at least 1"));
                }
                let page = find_callbacks(&*self.view, &filter, limit, cursor).await?;
                let CallbackPage { mut callbacks, next } = page;
                // Pending callbacks are listed from the latest due time on, so that those that an earlier batch made due
                // are found again.
                callbacks.retain(|found| action != BulkAction::Retry || !found.due_since_start);
                let ids = callbacks.iter().map(|found| found.decision.request_id).collect();
                let selection = serde_json::to_string(&filter).unwrap_or_default();
                (ids, Some(filter.state), selection, next)
            }
            _ => return Err(RequestError::Selection),
        };
        let matched = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        // The audit trail has a record of every action, also of one that found nothing.
        if dry_run || matched == 0 && continues {
            return Ok(BulkProgress { matched, changed: 0, next });
        }
        let audit = operator.entry(action.as_str(), action_id, selection);
        let change = CallbackChange { action, state, ids };
        let changed = self.operate.change_callbacks(&change, &audit).await?;
        Ok(BulkProgress { matched, changed, next })
    }

    /// Pauses or resumes a host.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn change_host(
        &self,
        action: HostAction,
        host: &HostRequest,
        operator: &OperatorIdentity,
    ) -> Result<HostChange, RequestError> {
        let host = host.host.as_str();
        let audit = |action| operator.entry(action, None, host.to_owned());
        let changed = match action {
            HostAction::Pause => self.operate.pause_host(host, &audit("hosts pause")).await?,
            HostAction::Resume => self.operate.resume_host(host, &audit("hosts resume")).await?,
        };
        Ok(HostChange { changed })
    }

    /// Removes poison messages; returns their number.
    ///
    /// # Errors
    /// [`RequestError`]; the batch may be repeated.
    pub async fn discard_poison(
        &self,
        batch: PoisonBatch,
        operator: &OperatorIdentity,
    ) -> Result<BulkProgress, RequestError> {
        let PoisonBatch { ids, action_id } = batch;
        if ids.iter().any(|id| id.contains('\0')) {
            return Err(RequestError::Text("an id has no zero character"));
        }
        let audit = operator.entry("poison discard", action_id, named(&ids)?);
        let changed = self.operate.discard_poison(&ids, &audit).await?;
        let matched = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        Ok(BulkProgress { matched, changed, next: None })
    }

    /// Performs one batch of an erasure. The first one of an action also searches the poison messages.
    ///
    /// # Errors
    /// [`RequestError`]; the batch may be repeated.
    pub async fn forget(
        &self,
        batch: ForgetBatch,
        operator: &OperatorIdentity,
    ) -> Result<ForgetProgress, RequestError> {
        let ForgetBatch { token, cursor, decisions_only, action_id } = batch;
        // An erased token is empty, so the empty token would select everything that was erased before.
        if token.driver_token.is_empty() {
            return Err(RequestError::Text("a driver token is not empty"));
        }
        if token.station_id.as_ref().is_some_and(|station| station.contains('\0')) {
            return Err(RequestError::Text("a station id has no zero character"));
        }
        let mut poison = Vec::new();
        if cursor.is_none() && !decisions_only {
            poison = self.view.poison_with_token(&token).await?;
        }
        let limit = u32::try_from(MAX_BATCH).unwrap_or(u32::MAX);
        let page = self.view.decisions_with_token(&token, limit, cursor).await?;
        let audit = operator.entry("forget", action_id, token.selection());
        let mut messages = poison.chunks(MAX_BATCH);
        let first = messages.next().unwrap_or_default();
        let mut outcome = self.operate.forget(&token, &page.decisions, first, &audit).await?;
        for more in messages {
            outcome.add(self.operate.forget(&token, &[], more, &audit).await?);
        }
        Ok(ForgetProgress { outcome, next: page.next })
    }
}

impl OperatorIdentity {
    fn entry(&self, action: &'static str, id: Option<ActionId>, selection: String) -> AuditEntry {
        let id = id.unwrap_or_else(|| ActionId::random(&*self.random));
        AuditEntry { id, operator: self.name.clone(), action, selection }
    }
}

/// Returns the selection of these ids for the audit trail.
fn named(ids: &[impl ToString]) -> Result<String, RequestError> {
    match ids.len() {
        0 => return Err(RequestError::Selection),
        1..=MAX_BATCH => {}
        _ => return Err(RequestError::TooMany),
    }
    let first = ids.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Ok(match ids.len().saturating_sub(MAX_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_with_an_unknown_field_is_refused() {
        let read = |body: &str| serde_json::from_str::<ForgetBatch>(body);
        let batch = read(r#"{"driver_token":"a-token","station_id":"s"}"#).unwrap();
        assert_eq!(batch.token.station_id.as_deref(), Some("s"));
        let again = read(&serde_json::to_string(&batch).unwrap()).unwrap();
        assert_eq!((&*again.token.driver_token, again.token.station_id.as_deref()), ("a-token", Some("s")));
        assert!(!format!("{batch:?}").contains("a-token"));
        for body in [r#"{"driver_token":"a-token","station":"s"}"#, r#"{"station_id":"s"}"#] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
