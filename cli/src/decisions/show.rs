//! Decisions as text.

use crate::output::{UntrustedText, line};
use crate::timestamp::UtcTimestamp;
use chargegate_storage::inspect::{AttemptRecord, DecisionDetail, DecisionPage};

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
pub(crate) fn print_detail(detail: &DecisionDetail) {
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
