//! Checks of the queue and its settings before it is used.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use chargegate_core::MAX_MESSAGE_BYTES;
use serde::Deserialize;

use super::api::SqsApi;
use super::refusal::{SqsCallError, SqsRefusal};
use super::warning::SqsWarning;

/// Smallest `maxReceiveCount`: a message is decided at its eleventh delivery at the latest, and workers that stop may use as
/// many.
const MIN_RECEIVE_COUNT: u64 = 20;
/// Smallest retention: a day without workers.
const MIN_RETENTION: Duration = Duration::from_hours(24);
const CHECKED_ATTRIBUTES: [QueueAttributeName; 4] = [
    QueueAttributeName::RedrivePolicy,
    QueueAttributeName::MessageRetentionPeriod,
    QueueAttributeName::DelaySeconds,
    QueueAttributeName::MaximumMessageSize,
];

/// Obstacle to using a queue.
#[derive(Debug, thiserror::Error)]
pub enum SqsOpenError {
    /// The service does not respond, or not as SQS does.
    #[error("the service at {address} cannot be reached")]
    Unreachable {
        /// Expected address.
        address: String,
        /// Cause.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The service throttles calls.
    #[error("the queue's service asks for fewer calls")]
    Throttled,
    /// The service refused; an operator must act.
    #[error(transparent)]
    Refused(#[from] SqsRefusal),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
}

/// Checks the queue's settings.
pub(super) async fn check(api: &SqsApi, address: &str) -> Result<Vec<SqsWarning>, SqsOpenError> {
    match api.attributes(&CHECKED_ATTRIBUTES).await {
        Ok(attributes) => Ok(inspect_attributes(&attributes)),
        Err(SqsCallError::Refused(SqsRefusal::NotPermitted { .. })) => Ok(vec![SqsWarning::AttributesHidden]),
        Err(SqsCallError::Refused(refusal)) => Err(refusal.into()),
        Err(SqsCallError::Throttled(_)) => Err(SqsOpenError::Throttled),
        Err(SqsCallError::Unavailable(source)) => {
            Err(SqsOpenError::Unreachable { address: address.to_owned(), source })
        }
    }
}

fn inspect_attributes(attributes: &HashMap<QueueAttributeName, String>) -> Vec<SqsWarning> {
    let number = |name| attributes.get(&name)?.parse::<u64>().ok();
    let mut warnings = Vec::new();
    let receives =
        attributes.get(&QueueAttributeName::RedrivePolicy).and_then(|policy| max_receive_count(policy));
    if let Some(max_receive_count) = receives.filter(|count| *count < MIN_RECEIVE_COUNT) {
        warnings.push(SqsWarning::RedriveTooEarly { max_receive_count, needed: MIN_RECEIVE_COUNT });
    }
    let retention = number(QueueAttributeName::MessageRetentionPeriod).map(Duration::from_secs);
    if let Some(retention) = retention.filter(|retention| *retention < MIN_RETENTION) {
        warnings.push(SqsWarning::ShortRetention { retention });
    }
    if let Some(delay) = number(QueueAttributeName::DelaySeconds).filter(|delay| *delay > 0) {
        warnings.push(SqsWarning::Delayed { delay: Duration::from_secs(delay) });
    }
    let needed = u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX);
    if let Some(limit) = number(QueueAttributeName::MaximumMessageSize).filter(|limit| *limit < needed) {
        warnings.push(SqsWarning::SmallMessages { limit, needed });
    }
    warnings
}

/// A number, which some write as a text.
fn max_receive_count(policy: &str) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ReceiveCount {
        Number(u64),
        Text(String),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RedrivePolicy {
        max_receive_count: ReceiveCount,
    }
    match serde_json::from_str::<RedrivePolicy>(policy).ok()?.max_receive_count {
        ReceiveCount::Number(count) => Some(count),
        ReceiveCount::Text(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attributes: &[(&str, &str)], expected: &[SqsWarning]) {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        let found = inspect_attributes(&attributes);
        assert_eq!(found, expected, "{attributes:?}");
        for warning in found {
            let line = warning.to_string();
            assert!(line.contains("queue") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_queue_with_default_attributes_causes_no_warning() {
        check(&[], &[]);
        let usual =
            [("MessageRetentionPeriod", "345600"), ("DelaySeconds", "0"), ("MaximumMessageSize", "1048576")];
        check(&usual, &[]);
        check(&[("MessageRetentionPeriod", "x"), ("RedrivePolicy", "{"), ("DelaySeconds", "")], &[]);
    }

    #[test]
    fn each_limit_is_exact() {
        let early = |max_receive_count| [SqsWarning::RedriveTooEarly { max_receive_count, needed: 20 }];
        check(&[("RedrivePolicy", r#"{"deadLetterTargetArn":"arn","maxReceiveCount":19}"#)], &early(19));
        check(&[("RedrivePolicy", r#"{"maxReceiveCount":"3"}"#)], &early(3));
        check(&[("RedrivePolicy", r#"{"maxReceiveCount":20}"#)], &[]);
        let retention = Duration::from_secs(86_399);
        check(&[("MessageRetentionPeriod", "86399")], &[SqsWarning::ShortRetention { retention }]);
        check(&[("MessageRetentionPeriod", "86400")], &[]);
        check(&[("DelaySeconds", "1")], &[SqsWarning::Delayed { delay: Duration::from_secs(1) }]);
        let small = [SqsWarning::SmallMessages { limit: 16_383, needed: 16_384 }];
        check(&[("MaximumMessageSize", "16383")], &small);
        check(&[("MaximumMessageSize", "16384")], &[]);
    }
}
