//! Conversion of claimed callbacks and their decision rows to callback jobs.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use chargegate_core::{Decision, RequestId, Traceparent, UnixMillis};
use tracing::error;

use super::CallbackJob;

/// A callback leased to the caller.
pub struct ClaimedCallback {
    /// The request.
    pub request_id: RequestId,
    /// Number of the attempt that the claim begins.
    pub attempt: NonZeroU32,
    /// Number of the attempt since the callback was last (re)started.
    pub round_attempt: NonZeroU32,
    /// Time from the last (re)start to the claim.
    pub round_age: Duration,
}

/// Row of a decision, whose columns have the same names in every store.
pub trait DecisionRow {
    /// Returns the text of a column, or `None` for NULL.
    ///
    /// # Errors
    /// [`UnreadableColumn`].
    fn text(&self, column: &'static str) -> Result<Option<&str>, UnreadableColumn>;

    /// Returns the time in a column.
    ///
    /// # Errors
    /// [`UnreadableColumn`].
    fn moment(&self, column: &'static str) -> Result<UnixMillis, UnreadableColumn>;
}

/// Column with a value that this version does not know. The value may be a secret and is not kept.
pub struct UnreadableColumn {
    /// The name of the column.
    pub column: &'static str,
}

/// Joins claimed callbacks with their decisions. A callback whose decision this version cannot read is skipped: its lease
/// expires, and it is claimed again.
pub fn callback_jobs<S: BuildHasher>(
    claimed: impl IntoIterator<Item = ClaimedCallback>,
    decisions: &HashMap<RequestId, impl DecisionRow, S>,
) -> Vec<CallbackJob> {
    let readable = claimed.into_iter().filter_map(|claimed| {
        let id = claimed.request_id;
        let Some(decision) = decisions.get(&id) else {
            error!(request.id = %id, "callback without a decision");
            return None;
        };
        let job = job(&claimed, decision);
        job.inspect_err(
            |error| error!(request.id = %id, column = error.column, "decision not readable by this version"),
        )
        .ok()
    });
    readable.collect()
}

fn job(claimed: &ClaimedCallback, decision: &impl DecisionRow) -> Result<CallbackJob, UnreadableColumn> {
    let traceparent = decision.text("traceparent")?;
    Ok(CallbackJob {
        request_id: claimed.request_id,
        attempt: claimed.attempt,
        round_attempt: claimed.round_attempt,
        round_age: claimed.round_age,
        callback_url: parsed(decision, "callback_url")?,
        station_id: parsed(decision, "station_id")?,
        driver_token: text(decision, "driver_token")?.into(),
        decision: Decision { status: parsed(decision, "status")?, reason: parsed(decision, "reason")? },
        accepted_at: decision.moment("accepted_at")?,
        decided_at: decision.moment("decided_at")?,
        traceparent: traceparent.and_then(|text| Traceparent::from_header(text.as_bytes())),
    })
}

fn text<'a>(decision: &'a impl DecisionRow, column: &'static str) -> Result<&'a str, UnreadableColumn> {
    decision.text(column)?.ok_or(UnreadableColumn { column })
}

fn parsed<T: FromStr>(decision: &impl DecisionRow, column: &'static str) -> Result<T, UnreadableColumn> {
    text(decision, column)?.parse().map_err(|_| UnreadableColumn { column })
}
