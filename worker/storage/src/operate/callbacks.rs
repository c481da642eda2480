//! Selection of callbacks, and actions on them in batches.

use std::str::FromStr;
use std::time::Duration;

use chargegate_core::{RequestId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::ReceiverHostName;
use crate::error::StoreError;
use crate::inspect::{DecisionSummary, Inspect, PageCursor};

/// Maximum number of callbacks that one batch changes.
pub const MAX_BATCH: usize = 500;
/// Number of callbacks that one query reads.
const WINDOW: u32 = 1000;
/// Time by which a callback may precede its decision in the list, because the clocks of worker and store differ.
const CLOCK_TOLERANCE: Duration = Duration::from_hours(1);
/// Maximum number of queries for one page.
const MAX_WINDOWS: u32 = 10;
/// Reason for giving up a callback that an operator discarded, and the result in its log of attempts.
pub const DISCARDED: &str = "discarded";

/// State of a callback, as operators select it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// Waits for an attempt, or has one in flight.
    Pending,
    /// Accepted by its receiver.
    Delivered,
    /// Given up.
    #[default]
    Dead,
    /// Given up by an operator.
    Discarded,
}

impl CallbackState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Dead, Self::Pending, Self::Delivered, Self::Discarded];

    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Discarded => DISCARDED,
        }
    }
}

impl FromStr for CallbackState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let named = Self::ALL.into_iter().find(|state| state.as_str() == text);
        named.ok_or("a state is dead, pending, delivered or discarded")
    }
}

/// Filter of callbacks in one state. Names are compared as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallbackFilter {
    /// The state.
    pub state: CallbackState,
    /// Host of the callback URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<ReceiverHostName>,
    /// Status of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Reason of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Reason for giving up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up: Option<String>,
    /// Earliest time of the decision, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMillis>,
    /// Latest time of the decision, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
}

impl CallbackFilter {
    /// Returns whether the filter selects a callback in its state.
    #[must_use]
    pub fn matches(&self, decision: &DecisionSummary) -> bool {
        let equals =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|text| text == found);
        let is_host = |host: &ReceiverHostName| host.as_str() == decision.callback.host;
        self.host.as_ref().is_none_or(is_host)
            && equals(&self.status, &decision.status)
            && equals(&self.reason, &decision.reason)
            && equals(&self.give_up, decision.callback.give_up.as_deref().unwrap_or_default())
            && self.since.is_none_or(|since| decision.decided_at >= since)
            && self.until.is_none_or(|until| decision.decided_at <= until)
    }

    /// Returns whether every callback from a position on was decided before `since`. Finished callbacks are listed by a
    /// time after their decision, pending ones are not.
    fn ends_before(&self, cursor: &PageCursor) -> Result<bool, StoreError> {
        let Some(since) = self.since.filter(|_| self.state != CallbackState::Pending) else {
            return Ok(false);
        };
        let (position, _) = cursor.position()?;
        Ok(u64::try_from(position).unwrap_or_default() < since.minus(CLOCK_TOLERANCE).0)
    }
}

/// A callback in a list.
#[derive(Clone, Debug, Serialize)]
pub struct ListedCallback {
    /// Position in the list.
    #[serde(skip)]
    pub cursor: PageCursor,
    /// Set if the callback is pending and has been due since its round began, so that a retry would change nothing.
    #[serde(skip)]
    pub due_since_start: bool,
    /// The decision with its callback.
    #[serde(flatten)]
    pub decision: DecisionSummary,
}

/// A page of callbacks in one state, newest first; pending callbacks are in the order of their due times, latest first.
#[derive(Clone, Debug, Serialize)]
pub struct CallbackPage {
    /// The callbacks.
    pub callbacks: Vec<ListedCallback>,
    /// Start of the next page, if there may be one.
    pub next: Option<PageCursor>,
}

/// Action on callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkAction {
    /// Begins a new round of attempts at once, with the same decision and `webhook-id`.
    Retry,
    /// Gives up a pending callback, and marks a dead letter as handled.
    Discard,
}

impl BulkAction {
    /// Returns the name in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "callbacks retry",
            Self::Discard => "callbacks discard",
        }
    }
}

/// A change to callbacks.
#[derive(Clone, Debug)]
pub struct CallbackChange {
    /// The action.
    pub action: BulkAction,
    /// Only callbacks in this state are changed; `None` for any state that allows the action.
    pub state: Option<CallbackState>,
    /// The requests, at most [`MAX_BATCH`].
    pub ids: Vec<RequestId>,
}

/// Progress of an action in batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkProgress {
    /// Number of selected callbacks in this batch.
    pub matched: u64,
    /// Number of changed callbacks in this batch.
    pub changed: u64,
    /// Start of the next batch, if there may be one.
    pub next: Option<PageCursor>,
}

/// Returns at most `limit` callbacks that a filter selects, at least one if there is one, from `cursor` on. A page may be
/// short although there are more: the number of callbacks that a call reads is bounded.
///
/// # Errors
/// [`StoreError`]; a cursor of another list is [`StoreError::ForeignCursor`].
pub async fn find_callbacks(
    view: &dyn Inspect,
    filter: &CallbackFilter,
    limit: usize,
    mut cursor: Option<PageCursor>,
) -> Result<CallbackPage, StoreError> {
    let limit = limit.max(1);
    let mut callbacks = Vec::new();
    for _ in 0..MAX_WINDOWS {
        let window = view.callbacks(filter.state, WINDOW, cursor.as_ref()).await?;
        for callback in window.callbacks {
            if filter.ends_before(&callback.cursor)? {
                return Ok(CallbackPage { callbacks, next: None });
            }
            if filter.matches(&callback.decision) {
                if callbacks.len() == limit {
                    let next = callbacks.last().map(|last: &ListedCallback| last.cursor.clone());
                    return Ok(CallbackPage { callbacks, next });
                }
                callbacks.push(callback);
            }
        }
        cursor = window.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(CallbackPage { callbacks, next: cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_finished_callbacks_ends_an_hour_before_its_earliest_time() {
        const HOUR: i64 = 3_600_000;
        let check = |state, since: Option<u64>, position: i64, ends| {
            let filter = CallbackFilter { state, since: since.map(UnixMillis), ..CallbackFilter::default() };
            assert_eq!(filter.ends_before(&PageCursor::after(position, "")).unwrap(), ends);
        };
        for state in CallbackState::ALL {
            let finished = state != CallbackState::Pending;
            check(state, None, 0, false);
            check(state, Some(7_200_000), HOUR, false);
            check(state, Some(7_200_000), HOUR - 1, finished);
            check(state, Some(1), 0, false);
        }
    }
}
