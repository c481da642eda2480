//! The output for a single request.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::client::{ResponseLoss, SubmissionResponse};
use super::ledger::{RequestAck, RequestLedger};
use crate::output::{UntrustedText, error_line, line};

/// Prints the response to the request.
pub(super) fn show_response(ledger: &RequestLedger, response: &Result<SubmissionResponse, ResponseLoss>) {
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
    match response {
        Ok(SubmissionResponse { status: StatusCode::ACCEPTED, .. }) => {}
        Ok(response) => show_refusal(response),
        Err(ResponseLoss::Connect) => {
            error_line("error: no connection: is the edge running at --url or CHARGEGATE_SEND_URL?");
        }
        Err(loss) => {
            error_line(format_args!(
                "error: no response ({}): the request may or may not have been accepted",
                loss.as_str()
            ));
        }
    }
}

/// Prints the callback, or that it is missing.
pub(super) fn show_callback(ledger: &RequestLedger) {
    ledger.for_each(|entry| {
        match (entry.first_callback(), entry.ack()) {
            (Some(received), _) => {
                let status = received.status.map_or("unreadable", chargegate_core::DecisionStatus::as_str);
                line(format_args!("callback after {}: {status}", Milliseconds(received.after)));
            }
            (None, RequestAck::Accepted { .. }) => {
                error_line("error: the request was accepted, but its callback did not arrive in time");
            }
            (None, _) => {}
        }
        if let Some(contradiction) = entry.contradiction() {
            error_line(format_args!(
                "error: the callback contradicts the request: {}",
                contradiction.as_str()
            ));
        }
    });
}

/// Problem details (RFC 9457), as far as they are printed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ReceivedProblem {
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

fn show_refusal(response: &SubmissionResponse) {
    let problem: ReceivedProblem = serde_json::from_slice(&response.body).unwrap_or_default();
    let mut text = format!("error: refused with {}", response.status.as_u16());
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

/// Displays a duration in milliseconds.
struct Milliseconds(Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0)
    }
}
