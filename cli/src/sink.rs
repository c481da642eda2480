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

use crate::output::{TokenPrefix, UntrustedText};
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
            TokenPrefix(&body.driver_token)
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
mod tests {
    use std::time::{Duration, SystemTime};

    use http_body_util::{BodyExt as _, Full};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use parking_lot::Mutex;
    use tokio::net::TcpStream;

    use super::*;

    fn clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_083_199_042)
    }

    async fn print_callbacks(bodies: &[&'static str]) -> (Vec<u16>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let seen = Arc::clone(&lines);
        let printer = move |callback: &SinkCallback| seen.lock().push(callback.to_string());
        let server = tokio::spawn(serve(listener, clock, printer, stop.clone()));
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for body in bodies {
            let request = http::Request::post("/any/path?x=1")
                .header("host", "sink")
                .header("webhook-id", "0193-id")
                .header("chargegate-decision-reason", "acl")
                .body(Full::new(Bytes::from_static(body.as_bytes())))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            statuses.push(response.status().as_u16());
            response.into_body().collect().await.unwrap();
        }
        drop(sender);
        stop.cancel();
        server.await.unwrap().unwrap();
        let lines = lines.lock().clone();
        (statuses, lines)
    }

    #[tokio::test]
    async fn each_callback_is_one_line_with_a_masked_token() {
        let (statuses, lines) = print_callbacks(&[
            r#"{"station_id":"s-1","driver_token":"driver-blocked-0000000001","status":"not_allowed"}"#,
            "nonsense",
        ])
        .await;
        assert_eq!(statuses, [204, 400]);
        assert_eq!(
            lines,
            ["23:59:59.042Z callback 0193-id: not_allowed (acl), station s-1, driver token driv***"]
        );
    }
}
