//! Amazon SQS as a service of the pull engine.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use chargegate_core::UnixMillis;
use chargegate_sqs_protocol::group_of_message;

use super::api::{CALL_TIMEOUT, SqsApi, SqsCall};
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
/// Attributes that count waiting, leased and delayed messages.
const COUNT_ATTRIBUTES: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

/// Refusal of a message that no edge sends.
const UNSENDABLE: &str =
    "a message is empty or has a character that Amazon SQS does not accept: send only messages of an edge";

/// Amazon SQS, for one queue.
#[derive(Debug)]
pub struct SqsService {
    api: SqsApi,
    /// Visibility time-out, in seconds.
    lease: u32,
    extend_for: Duration,
    pullers: usize,
}

impl SqsService {
    /// Creates the service. Leases last `lease`, rounded up to a second, and are extended for `extend_for`.
    pub(super) fn new(api: SqsApi, lease: Duration, extend_for: Duration, pullers: usize) -> Self {
        Self { api, lease: whole_seconds(lease).max(1), extend_for, pullers }
    }

    /// Removes messages.
    async fn delete(&self, receipts: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let entries = entries(receipts, |id, receipt| {
            DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(receipt.as_str()).build()
        })?;
        let send = |SqsCall { sdk, settings }| {
            let request = sdk.delete_message_batch().queue_url(self.api.queue());
            request.set_entries(Some(entries.clone())).customize().config_override(settings).send()
        };
        let answer = self.api.call("DeleteMessageBatch", CALL_TIMEOUT, send).await?;
        let done = answer.successful.iter().map(|done| done.id.as_str());
        Ok(failed_receipts(receipts, entry_failures(receipts.len(), done, answer.failed)))
    }

    /// Sets the remaining visibility time-out of messages.
    async fn change_visibility(
        &self,
        receipts: &[LeaseReceipt],
        seconds: u32,
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let entries = entries(receipts, |id, receipt| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id);
            entry.receipt_handle(receipt.as_str()).visibility_timeout(parameter(seconds)).build()
        })?;
        let send = |SqsCall { sdk, settings }| {
            let request = sdk.change_message_visibility_batch().queue_url(self.api.queue());
            request.set_entries(Some(entries.clone())).customize().config_override(settings).send()
        };
        let answer = self.api.call("ChangeMessageVisibilityBatch", CALL_TIMEOUT, send).await?;
        let done = answer.successful.iter().map(|done| done.id.as_str());
        Ok(failed_receipts(receipts, entry_failures(receipts.len(), done, answer.failed)))
    }
}

/// Creates the entries of a batch call, whose ids are their positions.
fn entries<T, E>(
    items: &[T],
    entry: impl Fn(String, &T) -> Result<E, BuildError>,
) -> Result<Vec<E>, PullServiceError> {
    let entries = items.iter().enumerate().map(|(id, item)| entry(id.to_string(), item));
    entries.collect::<Result<_, _>>().map_err(PullServiceError::unavailable)
}

/// Returns the failure of each of `count` entries of a batch call by position.
fn entry_failures<'a>(
    count: usize,
    done: impl Iterator<Item = &'a str>,
    failed: Vec<BatchResultErrorEntry>,
) -> Vec<Option<EntryFailure>> {
    let done: Vec<_> = done.collect();
    let mut failures: HashMap<_, _> = failed
        .into_iter()
        .map(|failed| (failed.id, EntryFailure { code: failed.code, sender_fault: failed.sender_fault }))
        .collect();
    let outcome = |position: usize| {
        let id = position.to_string();
        if done.contains(&id.as_str()) {
            return None;
        }
        // An entry without a result may have failed.
        let unknown = || EntryFailure { code: "no outcome".to_owned(), sender_fault: false };
        Some(failures.remove(&id).unwrap_or_else(unknown))
    };
    (0..count).map(outcome).collect()
}

fn failed_receipts(receipts: &[LeaseReceipt], failures: Vec<Option<EntryFailure>>) -> Vec<FailedReceipt> {
    let failed = receipts.iter().zip(failures).filter_map(|(receipt, failed)| {
        let reason =
            if failed?.sender_fault { ReceiptFailure::LeaseEnded } else { ReceiptFailure::Transient };
        Some(FailedReceipt { receipt: receipt.clone(), reason })
    });
    failed.collect()
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
            lease: Duration::from_secs(self.lease.into()),
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
        let count = i32::try_from(max.clamp(1, MAX_BATCH)).unwrap_or(1);
        let send = |SqsCall { sdk, settings }| {
            let request = sdk
                .receive_message()
                .queue_url(self.api.queue())
                .max_number_of_messages(count)
                .wait_time_seconds(parameter(wait))
                .visibility_timeout(parameter(self.lease))
                .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
                .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
            request.customize().config_override(settings).send()
        };
        let deadline = CALL_TIMEOUT + Duration::from_secs(wait.into());
        let answer = self.api.call("ReceiveMessage", deadline, send).await?;
        let messages = answer.messages.unwrap_or_default().into_iter().map(received);
        let messages: Option<Vec<_>> = messages.collect();
        messages.ok_or_else(|| PullServiceError::unavailable("ReceiveMessage: the answer cannot be read"))
    }

    async fn ack_and_release(
        &self,
        acked: &[LeaseReceipt],
        released: &[LeaseReceipt],
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        let (deleted, changed) = tokio::join!(self.delete(acked), self.change_visibility(released, 0));
        let mut failed = deleted?;
        failed.extend(changed?);
        Ok(failed)
    }

    async fn extend(&self, receipts: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError> {
        self.change_visibility(receipts, self.lease).await
    }

    async fn depth(&self) -> Result<u64, PullServiceError> {
        let attributes = self.api.attributes(&COUNT_ATTRIBUTES).await?;
        let counts = COUNT_ATTRIBUTES.iter().map(|name| attributes.get(name)?.parse::<u64>().ok());
        counts
            .sum::<Option<u64>>()
            .ok_or_else(|| PullServiceError::unavailable("GetQueueAttributes: the answer has no counts"))
    }
}

#[async_trait]
impl SendService for SqsService {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), PullServiceError>>, PullServiceError> {
        let fit: Vec<_> = bodies.iter().filter(|body| can_be_sent(body)).collect();
        let entries = entries(&fit, |id, body| {
            let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(*body);
            entry.set_message_group_id(group_of_message(body)).build()
        })?;
        let send = |SqsCall { sdk, settings }| {
            let request = sdk.send_message_batch().queue_url(self.api.queue());
            request.set_entries(Some(entries.clone())).customize().config_override(settings).send()
        };
        let failures = if entries.is_empty() {
            Vec::new()
        } else {
            let answer = self.api.call("SendMessageBatch", CALL_TIMEOUT, send).await?;
            let done = answer.successful.iter().map(|done| done.id.as_str());
            entry_failures(fit.len(), done, answer.failed)
        };
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

/// Converts a message; `None` without an id or a receipt, which every message has.
fn received(message: Message) -> Option<ReceivedMessage> {
    let attributes = message.attributes.unwrap_or_default();
    let number = |name| attributes.get(&name)?.parse::<u64>().ok();
    let deliveries = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    let enqueued_at = number(MessageSystemAttributeName::SentTimestamp);
    Some(ReceivedMessage {
        key: message.message_id?.into(),
        receipt: message.receipt_handle?.into(),
        body: message.body.unwrap_or_default().into_bytes(),
        enqueued_at: enqueued_at.map(|at| UnixMillis(at).min(UnixMillis::MAX)),
        deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
    })
}

/// Returns whether the service accepts a body: not empty, and only characters of XML 1.0.
fn can_be_sent(body: &str) -> bool {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    !body.is_empty() && body.chars().all(fits)
}

/// Rounds up to seconds: a wait of less than a second would be none.
fn whole_seconds(time: Duration) -> u32 {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Converts a number to the type that parameters have.
fn parameter(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl From<EntryFailure> for PullServiceError {
    fn from(failed: EntryFailure) -> Self {
        let cause = format!("a message was not taken: {}", failed.code);
        Self::unavailable(cause)
    }
}

#[cfg(test)]
mod tests;
