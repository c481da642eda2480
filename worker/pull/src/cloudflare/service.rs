//! Cloudflare Queues as a service of the pull engine.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::CloudflareSettings;
use super::api::CloudflareApi;
use super::open::whole;
use super::pulled::Pulled;
use crate::engine::{
    AckRetry, FailedReceipt, IdlePolicy, InFlightMessages, LeaseReceipt, PullService, PullServiceError,
    PullSettings, ReceiptFailure, ReceivedMessage, SendService,
};
use crate::http_client::RETRY_CAP;

/// Most messages of one call in either direction. The limit of leases in one acknowledgement is not documented; the number
/// that one pull can return is used.
const MAX_BATCH: usize = 100;
/// Most bytes of the messages of one call: 256 KB are allowed, but the way of counting is not documented.
const MAX_BATCH_BYTES: usize = 128_000;
/// Wait for more entries before a call that is not full.
const MAX_LINGER: Duration = Duration::from_millis(200);
/// Longest possible lease.
const MAX_LEASE: Duration = Duration::from_hours(12);

/// Cloudflare Queues, for one queue.
#[derive(Debug)]
pub struct CloudflareService {
    api: CloudflareApi,
    lease: Duration,
    idle_pause: Duration,
    pullers: usize,
}

impl CloudflareService {
    pub(super) fn new(api: CloudflareApi, settings: &CloudflareSettings) -> Self {
        let lease = settings.message_lease.min(MAX_LEASE);
        Self { api, lease, idle_pause: settings.idle_pause, pullers: settings.pullers }
    }
}

#[derive(Serialize)]
struct PullRequest {
    batch_size: usize,
    visibility_timeout_ms: u64,
}

#[derive(Serialize)]
struct AckRequest<'a> {
    acks: Vec<AckedLease<'a>>,
    retries: Vec<AckedLease<'a>>,
}

#[derive(Serialize)]
struct AckedLease<'a> {
    lease_id: &'a str,
    /// Overrides the consumer's delay, which would apply to released messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
struct AckResponse {
    /// Warnings by lease; any other form than a map is ignored.
    #[serde(default)]
    warnings: Value,
}

impl AckResponse {
    /// Returns the leases that did not end.
    fn unsettled(&self, done: &[LeaseReceipt], back: &[LeaseReceipt]) -> Vec<FailedReceipt> {
        let Some(warnings) = self.warnings.as_object() else { return Vec::new() };
        let warned = done.iter().chain(back).filter(|receipt| warnings.contains_key(receipt.as_str()));
        // A lease that Cloudflare does not know now will not be known later.
        warned
            .map(|receipt| FailedReceipt { receipt: receipt.clone(), reason: ReceiptFailure::LeaseEnded })
            .collect()
    }
}

#[derive(Serialize)]
struct SendBatchRequest<'a> {
    messages: Vec<TextMessage<'a>>,
}

#[derive(Serialize)]
struct TextMessage<'a> {
    body: &'a str,
    content_type: &'static str,
}

fn text(body: &String) -> TextMessage<'_> {
    TextMessage { body, content_type: "text" }
}

#[derive(Deserialize)]
struct QueueMetrics {
    backlog_count: f64,
}

#[async_trait]
impl PullService for CloudflareService {
    fn settings(&self) -> PullSettings {
        PullSettings {
            receive_batch: MAX_BATCH,
            ack_batch: MAX_BATCH,
            send_batch: MAX_BATCH,
            send_bytes: MAX_BATCH_BYTES,
            lease: self.lease,
            extend_for: Duration::ZERO,
            idle: IdlePolicy::Pause(self.idle_pause),
            linger: MAX_LINGER.min(self.lease / 4),
            ack_retry: AckRetry::WhileLeased,
            retry_cap: RETRY_CAP,
            pullers: self.pullers,
        }
    }

    async fn receive(
        &self,
        max: usize,
        _: Duration,
        _: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, PullServiceError> {
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let pull = PullRequest { batch_size: max, visibility_timeout_ms: lease };
        let pulled: Option<Pulled> = self.api.post("/messages/pull", &pull).await?;
        let (received, unidentified) = pulled.unwrap_or_default().into_received();
        if unidentified > 0 {
            warn!(
                messages = unidentified,
                "pulled messages without id or lease; they cannot be acknowledged"
            );
        }
        Ok(received)
    }

    async fn ack_and_release(
        &self,
        acked: &[LeaseReceipt],
        released: &[LeaseReceipt],
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        let ack = |receipt| AckedLease { lease_id: LeaseReceipt::as_str(receipt), delay_seconds: None };
        let retry = |receipt| AckedLease { lease_id: LeaseReceipt::as_str(receipt), delay_seconds: Some(0) };
        let settling = AckRequest {
            acks: acked.iter().map(ack).collect(),
            retries: released.iter().map(retry).collect(),
        };
        let settled: Option<AckResponse> = self.api.post("/messages/ack", &settling).await?;
        Ok(settled.unwrap_or_default().unsettled(acked, released))
    }

    async fn extend(&self, _: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError> {
        // The API has no call for it, as the settings state.
        Ok(Vec::new())
    }

    async fn depth(&self) -> Result<u64, PullServiceError> {
        let metrics: QueueMetrics = self.api.get("/metrics").await?;
        Ok(whole(metrics.backlog_count))
    }
}

#[async_trait]
impl SendService for CloudflareService {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), PullServiceError>>, PullServiceError> {
        if let [body] = bodies {
            self.api.post::<IgnoredAny>("/messages", &text(body)).await?;
        } else {
            let batch = SendBatchRequest { messages: bodies.iter().map(text).collect() };
            self.api.post::<IgnoredAny>("/messages/batch", &batch).await?;
        }
        Ok(bodies.iter().map(|_| Ok(())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    #[test]
    fn only_a_map_of_warnings_reports_failed_receipts() {
        let [known, unknown] = ["known", "unknown"].map(|lease| LeaseReceipt::from(lease.to_owned()));
        for settled in [
            "null",
            "{}",
            "[]",
            r#"{"warnings":null}"#,
            r#"{"warnings":[]}"#,
            r#"{"warnings":["unknown"]}"#,
            r#"{"warnings":"unknown"}"#,
            r#"{"warnings":{}}"#,
            r#"{"ackCount":1,"retryCount":1,"warnings":{"other":"lease not found"}}"#,
        ] {
            let read: Option<AckResponse> = serde_json::from_str(settled).unwrap();
            let unsettled =
                read.unwrap_or_default().unsettled(slice::from_ref(&known), slice::from_ref(&unknown));
            assert_eq!(unsettled, [], "{settled}");
        }
        for warning in [r#""lease not found""#, "null", "[]"] {
            let settled = format!(r#"{{"warnings":{{"unknown":{warning}}}}}"#);
            let read: AckResponse = serde_json::from_str(&settled).unwrap();
            let over = |receipt: &LeaseReceipt| {
                [FailedReceipt { receipt: receipt.clone(), reason: ReceiptFailure::LeaseEnded }]
            };
            let (known, unknown) = (std::slice::from_ref(&known), std::slice::from_ref(&unknown));
            assert_eq!(read.unsettled(known, unknown), over(&unknown[0]), "{settled}");
            assert_eq!(read.unsettled(unknown, known), over(&unknown[0]), "{settled}");
        }
    }
}
