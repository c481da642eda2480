//! What one request's sender reads.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::client::{EdgeResponse, ResponseLoss};
use super::ledger::{RequestAck, RequestLedger};
use crate::output::{UntrustedText, error_line, line};

/// Tells how the request was answered.
pub(super) fn show_answer(ledger: &RequestLedger, answer: &Result<EdgeResponse, ResponseLoss>) {
    ledger.for_each(|entry| {
        if let RequestAck::Accepted { after, request_id } = entry.ack() {
            let id = request_id.as_deref().unwrap_or("missing");
            line(format_args!(
                "202 accepted after {}: request {}, station {}",
                Milliseconds(*after),
                UntrustedText(id),
                UntrustedText(entry.station_id())
            ));
        }
    });
    match answer {
        Ok(EdgeResponse { status: StatusCode::ACCEPTED, .. }) => {}
        Ok(answer) => show_refusal(answer),
        Err(ResponseLoss::Connect) => {
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
pub(super) fn show_callback(ledger: &RequestLedger) {
    ledger.for_each(|entry| {
        match (entry.received(), entry.ack()) {
            (Some(received), _) => {
                let status = received.status.map_or("unreadable", chargegate_core::DecisionStatus::as_str);
                line(format_args!("callback after {}: {status}", Milliseconds(received.after)));
            }
            (None, RequestAck::Accepted { .. }) => error_line("error: accepted, but not called back in time"),
            (None, _) => {}
        }
        if let Some(contradiction) = entry.contradiction() {
            error_line(format_args!("error: the callback contradicts: {}", contradiction.as_str()));
        }
    });
}

/// ProblemDetails details (RFC 9457), as far as they are shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemDetails {
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

fn show_refusal(answer: &EdgeResponse) {
    let problem: ProblemDetails = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut text = format!("error: refused with {}", answer.status.as_u16());
    for part in [&problem.title, &problem.detail] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(&UntrustedText(part).to_string());
        }
    }
    error_line(text);
    for FieldProblem { pointer, code, detail } in &problem.errors {
        error_line(format_args!(
            "  {} {}: {}",
            UntrustedText(pointer),
            UntrustedText(code),
            UntrustedText(detail)
        ));
    }
}

struct Milliseconds(Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0)
    }
}
