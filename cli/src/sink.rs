//! A receiver that prints callbacks, for `chargegate up --demo`.

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use chargegate_core::UnixMillis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::output::{MaskedDriverToken, UntrustedText};
use crate::system::WallClock;
use crate::timestamp::{UtcTimeOfDay, unix_millis};

/// Size limit of a callback. The contract's three fields need a tenth of it.
const MAX_BODY_BYTES: usize = 8 * 1024;

/// A received callback. Displays as one line, with the driver token masked.
pub(crate) struct SinkCallback {
    received_at: UnixMillis,
    webhook_id: String,
    reason: String,
    body: SinkCallbackBody,
}

impl fmt::Display for SinkCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received_at, webhook_id, reason, body } = self;
        let (webhook_id, status, reason) =
            (UntrustedText(webhook_id), UntrustedText(&body.status), UntrustedText(reason));
        write!(f, "{} callback {webhook_id}: {status} ({reason})", UtcTimeOfDay(*received_at))?;
        write!(
            f,
            ", station {}, driver token {}",
            UntrustedText(&body.station_id),
            MaskedDriverToken(&body.driver_token)
        )
    }
}

#[derive(Deserialize)]
struct SinkCallbackBody {
    station_id: String,
    driver_token: String,
    status: String,
}

/// Receives callbacks on every path until `shutdown` and passes each to `printer`.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    clock: WallClock,
    printer: impl Fn(&SinkCallback) + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let sink = Arc::new(CallbackSink { clock, printer: Box::new(printer) });
    let app = Router::new()
        .route("/", post(receive))
        .route("/{*path}", post(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(sink);
    crate::serve::serve(listener, app, shutdown).await
}

struct CallbackSink {
    clock: WallClock,
    printer: Box<dyn Fn(&SinkCallback) + Send + Sync>,
}

async fn receive(State(sink): State<Arc<CallbackSink>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let received_at = unix_millis((sink.clock)());
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    (sink.printer)(&SinkCallback {
        received_at,
        webhook_id: header("webhook-id"),
        reason: header("chargegate-decision-reason"),
        body,
    });
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests;
