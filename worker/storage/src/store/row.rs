//! From claimed callbacks and the decisions they report to what is sent.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use chargegate_core::{Decision, RequestId, Traceparent, UnixMillis};
use tracing::error;

use super::CallbackJob;

/// A callback that is the caller's now.
pub struct ClaimedCallback {
    /// The request.
    pub request_id: RequestId,
    /// The number of the attempt that the claim begins.
    pub attempt: NonZeroU32,
    /// The attempt's number since the callback was last (re)started.
    pub round_attempt: NonZeroU32,
    /// When the callback was last (re)started.
    pub round_started_at: UnixMillis,
}

/// A decision's row, whose columns have the same names in every store.
pub trait DecisionRow {
    /// A column's text, `None` where there is none.
    fn text(&self, column: &'static str) -> Result<Option<&str>, UnreadableColumn>;

    /// A column's time.
    fn moment(&self, column: &'static str) -> Result<UnixMillis, UnreadableColumn>;
}

/// A column holds what this version does not know. Its text may be a secret and is not kept.
pub struct UnreadableColumn {
    /// The name of the column.
    pub column: &'static str,
}

/// What claimed callbacks are to say. One that this version cannot read is left out: its lease ends, and it is tried
/// again.
pub fn callback_jobs(
    claimed: impl IntoIterator<Item = ClaimedCallback>,
    decisions: &HashMap<RequestId, impl DecisionRow>,
) -> Vec<CallbackJob> {
    let readable = claimed.into_iter().filter_map(|claimed| {
        let id = claimed.request_id;
        let Some(decision) = decisions.get(&id) else {
            error!(request.id = %id, "a callback has no decision");
            return None;
        };
        let job = job(&claimed, decision);
        job.inspect_err(
            |error| error!(request.id = %id, column = error.column, "a decision cannot be read by this version"),
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
        round_started_at: claimed.round_started_at,
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
