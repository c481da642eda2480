//! Decisions as text and as JSON.

use chargegate_core::UnixMillis;
use chargegate_storage::inspect::{
    AttemptRecord, DecisionCursor, DecisionDetail, DecisionPage, DecisionSummary,
};
use serde_json::{Value, json};

use crate::output::{UntrustedText, line};
use crate::timestamp::UtcTimestamp;

/// Prints one line for each decision.
pub(super) fn print_page(page: &DecisionPage) {
    if page.decisions.is_empty() {
        line("no decisions");
        return;
    }
    line(format_args!(
        "{:<24}  {:<36}  {:<11}  {:<15}  {:<36}  CALLBACK",
        "DECIDED", "REQUEST", "STATUS", "REASON", "STATION"
    ));
    for decision in &page.decisions {
        line(format_args!(
            "{}  {}  {:<11}  {:<15}  {:<36}  {}, attempts: {}",
            UtcTimestamp(decision.decided_at),
            decision.request_id,
            decision.status,
            decision.reason,
            decision.station_id,
            decision.callback.state,
            decision.callback.attempts,
        ));
    }
    if let Some(next) = &page.next {
        line(format_args!("older: --before {}", next.as_str()));
    }
}

/// Prints all fields of one decision.
pub(super) fn print_detail(detail: &DecisionDetail) {
    let DecisionDetail { decision, traceparent, message_key, duplicates, attempts } = detail;
    let callback = &decision.callback;
    let row = |name: &str, value: &dyn std::fmt::Display| line(format_args!("{name:<14}{value}"));
    row("request", &decision.request_id);
    row("status", &decision.status);
    row("reason", &decision.reason);
    row("station", &decision.station_id);
    row("driver token", &decision.driver_token);
    row("accepted", &UtcTimestamp(decision.accepted_at));
    row("decided", &UtcTimestamp(decision.decided_at));
    row("late", &if decision.late { "yes" } else { "no" });
    row("asked again", &duplicates);
    row("message", message_key);
    if let Some(traceparent) = traceparent {
        row("traceparent", traceparent);
    }
    row("callback", &callback.state);
    row("host", &UntrustedText(&callback.host));
    if let Some(due_at) = callback.due_at {
        row(if callback.leased { "lease ends" } else { "due" }, &UtcTimestamp(due_at));
    }
    if let Some(finished_at) = callback.finished_at {
        row("finished", &UtcTimestamp(finished_at));
    }
    if let Some(give_up) = &callback.give_up {
        row("given up", give_up);
    }
    for AttemptRecord { number, started_at, took, result, http_status } in attempts {
        let status = http_status.map_or_else(String::new, |status| format!(" {status}"));
        row(
            &format!("attempt {number}"),
            &format_args!("{} {result}{status} after {} ms", UtcTimestamp(*started_at), took.as_millis()),
        );
    }
}

/// Returns a page as one JSON object.
pub(super) fn page_json(page: &DecisionPage) -> Value {
    let decisions: Vec<Value> = page.decisions.iter().map(decision_json).collect();
    json!({"decisions": decisions, "next": page.next.as_ref().map(DecisionCursor::as_str)})
}

/// Returns one decision as one JSON object.
pub(super) fn detail_json(detail: &DecisionDetail) -> Value {
    let attempts: Vec<Value> = detail.attempts.iter().map(attempt_json).collect();
    json!({
        "decision": decision_json(&detail.decision),
        "traceparent": detail.traceparent,
        "message_key": detail.message_key,
        "duplicates": detail.duplicates,
        "attempts": attempts,
    })
}

fn decision_json(decision: &DecisionSummary) -> Value {
    let callback = &decision.callback;
    json!({
        "request_id": decision.request_id.to_string(),
        "station_id": decision.station_id,
        "driver_token": decision.driver_token.as_str(),
        "status": decision.status,
        "reason": decision.reason,
        "accepted_at": time(decision.accepted_at),
        "decided_at": time(decision.decided_at),
        "late": decision.late,
        "callback": {
            "state": callback.state,
            "host": callback.host,
            "attempts": callback.attempts,
            "due_at": callback.due_at.map(time),
            "leased": callback.leased,
            "finished_at": callback.finished_at.map(time),
            "give_up": callback.give_up,
        },
    })
}

fn attempt_json(attempt: &AttemptRecord) -> Value {
    json!({
        "number": attempt.number.get(),
        "started_at": time(attempt.started_at),
        "took_ms": u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        "result": attempt.result,
        "http_status": attempt.http_status,
    })
}

fn time(at: UnixMillis) -> String {
    UtcTimestamp(at).to_string()
}
