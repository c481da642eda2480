//! What one request's sender reads.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::client::{Answer, Loss};
use super::ledger::{Ack, Ledger};
use crate::output::{Foreign, error_line, line};

/// Tells how the request was answered.
pub(super) fn show_answer(ledger: &Ledger, answer: &Result<Answer, Loss>) {
    ledger.for_each(|entry| {
        if let Ack::Accepted { after, request_id } = entry.ack() {
            let id = request_id.as_deref().unwrap_or("missing");
            line(format_args!(
                "202 accepted after {}: request {}, station {}",
                Millis(*after),
                Foreign(id),
                Foreign(entry.station_id())
            ));
        }
    });
    match answer {
        Ok(Answer { status: StatusCode::ACCEPTED, .. }) => {}
        Ok(answer) => show_refusal(answer),
        Err(Loss::Connect) => {
            error_line("error: no connection: is the edge running at --url or CHARGEGATE_SEND_URL?");
        }
        Err(loss) => {
            error_line(format_args!(
                "error: no answer ({}): nobody knows whether it was accepted",
                loss.as_str()
            ));
        }
    }
}

/// Tells what the callback said, or that there was none.
pub(super) fn show_callback(ledger: &Ledger) {
    ledger.for_each(|entry| {
        match (entry.received(), entry.ack()) {
            (Some(received), _) => {
                let status = received.status.map_or("unreadable", chargegate_core::DecisionStatus::as_str);
                line(format_args!("callback after {}: {status}", Millis(received.after)));
            }
            (None, Ack::Accepted { .. }) => error_line("error: accepted, but not called back in time"),
            (None, _) => {}
        }
        if let Some(contradiction) = entry.contradiction() {
            error_line(format_args!("error: the callback contradicts: {}", contradiction.as_str()));
        }
    });
}

/// Problem details (RFC 9457), as far as they are shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<FieldProblem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldProblem {
    pointer: String,
    code: String,
    detail: String,
}

fn show_refusal(answer: &Answer) {
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut text = format!("error: refused with {}", answer.status.as_u16());
    for part in [&problem.title, &problem.detail] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(&Foreign(part).to_string());
        }
    }
    error_line(text);
    for FieldProblem { pointer, code, detail } in &problem.errors {
        error_line(format_args!("  {} {}: {}", Foreign(pointer), Foreign(code), Foreign(detail)));
    }
}

struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0)
    }
}
