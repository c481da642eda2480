//! JSON bodies of the protocol (Amazon SQS API reference, AWS JSON 1.0).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveMessage<'a> {
    pub(super) queue_url: &'a str,
    pub(super) max_number_of_messages: usize,
    pub(super) wait_time_seconds: u64,
    pub(super) visibility_timeout: u64,
    pub(super) message_system_attribute_names: [&'a str; 2],
}

/// Received messages; the list is absent when there are none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceivedMessages {
    pub(super) messages: Option<Vec<SqsMessage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SqsMessage {
    #[serde(rename = "MessageId")]
    pub(super) id: String,
    pub(super) receipt_handle: String,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) attributes: HashMap<String, String>,
}

/// Request about several messages.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchRequest<'a, E> {
    pub(super) queue_url: &'a str,
    pub(super) entries: Vec<E>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendEntry<'a> {
    pub(super) id: String,
    pub(super) message_body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_group_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteEntry<'a> {
    pub(super) id: String,
    pub(super) receipt_handle: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VisibilityEntry<'a> {
    pub(super) id: String,
    pub(super) receipt_handle: &'a str,
    pub(super) visibility_timeout: u64,
}

/// Result of each entry of a [`BatchRequest`].
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchResults {
    #[serde(default)]
    pub(super) successful: Vec<SucceededEntry>,
    #[serde(default)]
    pub(super) failed: Vec<FailedEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SucceededEntry {
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FailedEntry {
    pub(super) id: String,
    pub(super) code: String,
    /// Set when repeating the entry cannot succeed.
    #[serde(default)]
    pub(super) sender_fault: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueAttributes<'a> {
    pub(super) queue_url: &'a str,
    pub(super) attribute_names: &'a [&'a str],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueAttributes {
    #[serde(default)]
    pub(super) attributes: HashMap<String, String>,
}
