//! The JSON of the protocol (Amazon SQS API reference, AWS JSON 1.0).

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

/// Where there is none, the list itself is missing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Messages {
    pub(super) messages: Option<Vec<Message>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(rename = "MessageId")]
    pub(super) id: String,
    pub(super) receipt_handle: String,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) attributes: HashMap<String, String>,
}

/// A call about several messages.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<'a, E> {
    pub(super) queue_url: &'a str,
    pub(super) entries: Vec<E>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Send<'a> {
    pub(super) id: String,
    pub(super) message_body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_group_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete<'a> {
    pub(super) id: String,
    pub(super) receipt_handle: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeVisibility<'a> {
    pub(super) id: String,
    pub(super) receipt_handle: &'a str,
    pub(super) visibility_timeout: u64,
}

/// What became of each entry of a [`Batch`].
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Outcomes {
    #[serde(default)]
    pub(super) successful: Vec<Done>,
    #[serde(default)]
    pub(super) failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failed {
    pub(super) id: String,
    pub(super) code: String,
    /// Whether doing the same once more is of no use.
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
pub(super) struct Attributes {
    #[serde(default)]
    pub(super) attributes: HashMap<String, String>,
}
