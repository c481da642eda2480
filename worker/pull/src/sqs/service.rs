//! Amazon SQS as a service of the pull engine.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::UnixMillis;
use chargegate_sqs_protocol::group_of_message;
use serde::Serialize;

use super::api::SqsApi;
use super::wire::{
    BatchRequest, BatchResults, DeleteEntry, GetQueueAttributes, QueueAttributes, ReceiveMessage,
    ReceivedMessages, SendEntry, SqsMessage, VisibilityEntry,
};
use crate::engine::{
    AckRetry, FailedReceipt, IdlePolicy, InFlightMessages, LeaseReceipt, PullService, PullServiceError,
    PullSettings, ReceiptFailure, ReceivedMessage, SendService,
};
use crate::http_client::RETRY_CAP;

/// Most entries of one call (Amazon SQS API reference).
const MAX_BATCH: usize = 10;
/// Most bytes of the messages of one call.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Longest wait of a receive call. The service allows 20 s, but messages that it returns to the call of a dead worker are
/// unavailable until their lease ends: wait and lease together must leave time to decide.
const MAX_RECEIVE_WAIT: Duration = Duration::from_secs(2);
/// Longest duration of a call, without its wait for messages.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Attributes that count waiting, leased and delayed messages.
const COUNT_ATTRIBUTES: [&str; 3] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
];

/// Refusal of a message that no edge sends.
const UNSENDABLE: &str =
    "a message is empty or has a character that Amazon SQS does not accept: send only messages of an edge";

/// Amazon SQS, for one queue.
#[derive(Debug)]
pub struct SqsService {
    api: SqsApi,
    /// Visibility time-out, in seconds.
    lease: u64,
    extend_for: Duration,
    pullers: usize,
}

impl SqsService {
    /// Creates the service. Leases last `lease`, rounded up to a second, and are extended for `extend_for`.
    pub(super) fn new(api: SqsApi, lease: Duration, extend_for: Duration, pullers: usize) -> Self {
        Self { api, lease: whole_seconds(lease).max(1), extend_for, pullers }
    }

    /// Sets the remaining visibility time-out of messages.
    async fn change_visibility(
        &self,
        receipts: &[LeaseReceipt],
        seconds: u64,
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        let entry =
            |id, receipt| VisibilityEntry { id, receipt_handle: receipt, visibility_timeout: seconds };
        self.settle_with("ChangeMessageVisibilityBatch", receipts, entry).await
    }

    async fn settle_with<'a, E: Serialize>(
        &self,
        operation: &'static str,
        receipts: &'a [LeaseReceipt],
        entry: impl Fn(String, &'a str) -> E,
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let entries =
            receipts.iter().enumerate().map(|(id, receipt)| entry(id.to_string(), receipt.as_str()));
        let causes = self.batch(operation, entries.collect()).await?;
        let unsettled = receipts.iter().zip(causes).filter_map(|(receipt, failed)| {
            let reason =
                if failed?.sender_fault { ReceiptFailure::LeaseEnded } else { ReceiptFailure::Transient };
            Some(FailedReceipt { receipt: receipt.clone(), reason })
        });
        Ok(unsettled.collect())
    }

    /// Makes a batch call. Returns the failure of each entry by position.
    async fn batch<E: Serialize>(
        &self,
        operation: &'static str,
        entries: Vec<E>,
    ) -> Result<Vec<Option<EntryFailure>>, PullServiceError> {
        let count = entries.len();
        let batch = BatchRequest { queue_url: self.api.queue(), entries };
        let outcomes: BatchResults = self.api.call(operation, &batch, CALL_TIMEOUT).await?;
        let mut failures: HashMap<_, _> = outcomes
            .failed
            .into_iter()
            .map(|failed| (failed.id, EntryFailure { code: failed.code, sender_fault: failed.sender_fault }))
            .collect();
        let done: Vec<_> = outcomes.successful.into_iter().map(|done| done.id).collect();
        let outcome = |position: usize| {
            let id = position.to_string();
            if done.contains(&id) {
                return None;
            }
            // An entry without a result may have failed.
            let unknown = || EntryFailure { code: "no outcome".to_owned(), sender_fault: false };
            Some(failures.remove(&id).unwrap_or_else(unknown))
        };
        Ok((0..count).map(outcome).collect())
    }
}

/// Failure of one entry of a batch call.
struct EntryFailure {
    code: String,
    sender_fault: bool,
}

#[async_trait]
impl PullService for SqsService {
    fn settings(&self) -> PullSettings {
        PullSettings {
            receive_batch: MAX_BATCH,
            ack_batch: MAX_BATCH,
            send_batch: MAX_BATCH,
            send_bytes: MAX_BATCH_BYTES,
            lease: Duration::from_secs(self.lease),
            extend_for: self.extend_for,
            idle: IdlePolicy::LongPoll(MAX_RECEIVE_WAIT),
            linger: Duration::from_millis(50),
            ack_retry: AckRetry::WhileLeased,
            retry_cap: RETRY_CAP,
            pullers: self.pullers,
        }
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        _: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, PullServiceError> {
        let wait = whole_seconds(wait.min(MAX_RECEIVE_WAIT));
        let question = ReceiveMessage {
            queue_url: self.api.queue(),
            max_number_of_messages: max.clamp(1, MAX_BATCH),
            wait_time_seconds: wait,
            visibility_timeout: self.lease,
            message_system_attribute_names: ["SentTimestamp", "ApproximateReceiveCount"],
        };
        let deadline = CALL_TIMEOUT + Duration::from_secs(wait);
        let answer: ReceivedMessages = self.api.call("ReceiveMessage", &question, deadline).await?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(received).collect())
    }

    async fn ack_and_release(
        &self,
        acked: &[LeaseReceipt],
        released: &[LeaseReceipt],
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        let delete = |id, receipt| DeleteEntry { id, receipt_handle: receipt };
        let (deleted, changed) = tokio::join!(
            self.settle_with("DeleteMessageBatch", acked, delete),
            self.change_visibility(released, 0)
        );
        let mut failed = deleted?;
        failed.extend(changed?);
        Ok(failed)
    }

    async fn extend(&self, receipts: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError> {
        self.change_visibility(receipts, self.lease).await
    }

    async fn depth(&self) -> Result<u64, PullServiceError> {
        let question = GetQueueAttributes { queue_url: self.api.queue(), attribute_names: &COUNT_ATTRIBUTES };
        let QueueAttributes { attributes } =
            self.api.call("GetQueueAttributes", &question, CALL_TIMEOUT).await?;
        let counts = COUNT_ATTRIBUTES.iter().map(|name| attributes.get(*name)?.parse::<u64>().ok());
        counts
            .sum::<Option<u64>>()
            .ok_or_else(|| PullServiceError::unavailable("GetQueueAttributes: the answer has no counts"))
    }
}

#[async_trait]
impl SendService for SqsService {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), PullServiceError>>, PullServiceError> {
        let fit = bodies.iter().filter(|body| can_be_sent(body));
        let entries = fit.enumerate().map(|(id, body)| SendEntry {
            id: id.to_string(),
            message_body: body,
            message_group_id: group_of_message(body),
        });
        let entries: Vec<_> = entries.collect();
        let failures =
            if entries.is_empty() { Vec::new() } else { self.batch("SendMessageBatch", entries).await? };
        let mut failures = failures.into_iter();
        let results = bodies.iter().map(|body| {
            if !can_be_sent(body) {
                return Err(PullServiceError::Refused(UNSENDABLE.into()));
            }
            failures.next().flatten().map_or(Ok(()), |failed| Err(failed.into()))
        });
        Ok(results.collect())
    }
}

fn received(message: SqsMessage) -> ReceivedMessage {
    let SqsMessage { id, receipt_handle, body, attributes } = message;
    let number = |name: &str| attributes.get(name)?.parse::<u64>().ok();
    let deliveries = number("ApproximateReceiveCount").unwrap_or(1);
    ReceivedMessage {
        key: id.into(),
        receipt: receipt_handle.into(),
        body: body.into_bytes(),
        enqueued_at: number("SentTimestamp").map(|at| UnixMillis(at).min(UnixMillis::MAX)),
        deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
    }
}

/// Returns whether the service accepts a body: not empty, and only characters of XML 1.0.
fn can_be_sent(body: &str) -> bool {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    !body.is_empty() && body.chars().all(fits)
}

/// Rounds up to seconds: a wait of less than a second would be none.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

impl From<EntryFailure> for PullServiceError {
    fn from(failed: EntryFailure) -> Self {
        let cause = format!("a message was not taken: {}", failed.code);
        Self::unavailable(cause)
    }
}

#[cfg(test)]
mod tests;
