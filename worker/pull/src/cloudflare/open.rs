//! Checks of the queue and its settings before it is used.

use serde::Deserialize;

use super::answer::CloudflareFailure;
use super::api::CloudflareApi;
use super::warning::CloudflareWarning;

/// Smallest number of retries: a message is decided at its eleventh delivery at the latest, and workers that stop may use as
/// many.
const MIN_RETRIES: u64 = 20;
/// Smallest retention in seconds: a day without workers.
const MIN_RETENTION: u64 = 24 * 60 * 60;

/// Obstacle to using a queue.
#[derive(Debug, thiserror::Error)]
pub enum CloudflareOpenError {
    /// The API does not respond, or not as expected.
    #[error("Cloudflare's API cannot be reached")]
    Unreachable(#[source] CloudflareFailure),
    /// The API throttles calls.
    #[error("Cloudflare's API asks for fewer calls")]
    Throttled,
    /// The API refused; an operator must act.
    #[error(transparent)]
    Refused(CloudflareFailure),
    /// The queue has no HTTP pull consumer.
    #[error(
        "the queue {queue} has no HTTP pull consumer: run `npx wrangler queues consumer http add {queue} --message-retries 100 --dead-letter-queue {queue}-dead`, after `npx wrangler queues consumer worker remove {queue} SCRIPT` where a Worker consumes it"
    )]
    NoPullConsumer {
        /// The queue's name.
        queue: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<CloudflareFailure> for CloudflareOpenError {
    fn from(failure: CloudflareFailure) -> Self {
        match failure {
            CloudflareFailure::Throttled { .. } => Self::Throttled,
            CloudflareFailure::NoAnswer(_)
            | CloudflareFailure::Unreadable { .. }
            | CloudflareFailure::Failed { .. } => Self::Unreachable(failure),
            CloudflareFailure::Token { .. }
            | CloudflareFailure::NoQueue
            | CloudflareFailure::Refused { .. } => Self::Refused(failure),
        }
    }
}

/// Description of a queue by the API.
#[derive(Deserialize)]
struct QueueDescription {
    #[serde(rename = "queue_name")]
    name: String,
    #[serde(default)]
    settings: DescribedSettings,
    #[serde(default)]
    consumers: Vec<ConsumerDescription>,
}

#[derive(Default, Deserialize)]
struct DescribedSettings {
    #[serde(default)]
    delivery_delay: Option<f64>,
    #[serde(default)]
    delivery_paused: Option<bool>,
    #[serde(default)]
    message_retention_period: Option<f64>,
}

#[derive(Deserialize)]
struct ConsumerDescription {
    r#type: Option<String>,
    dead_letter_queue: Option<String>,
    #[serde(default)]
    settings: DescribedConsumerSettings,
}

#[derive(Default, Deserialize)]
struct DescribedConsumerSettings {
    #[serde(default)]
    max_retries: Option<f64>,
}

/// Looks at the queue and its consumer, and whether the token may acknowledge.
pub(super) async fn check(api: &CloudflareApi) -> Result<Vec<CloudflareWarning>, CloudflareOpenError> {
    let warnings = match api.get::<QueueDescription>("").await {
        Ok(queue) => weigh(queue)?,
        Err(CloudflareFailure::Token { .. }) => vec![CloudflareWarning::SettingsHidden],
        Err(failure) => return Err(failure.into()),
    };
    // An empty ack requires the permission to ack and the queue. It is not documented whether an empty ack is valid, and
    // a later outage is retried: only a missing permission or queue prevents the start.
    let nothing = serde_json::json!({ "acks": [], "retries": [] });
    match api.post::<serde::de::IgnoredAny>("/messages/ack", &nothing).await {
        Err(failure @ (CloudflareFailure::Token { .. } | CloudflareFailure::NoQueue)) => Err(failure.into()),
        _ => Ok(warnings),
    }
}

fn weigh(queue: QueueDescription) -> Result<Vec<CloudflareWarning>, CloudflareOpenError> {
    let QueueDescription { name: queue, settings, consumers } = queue;
    let pulls = |consumer: &&ConsumerDescription| consumer.r#type.as_deref() == Some("http_pull");
    let Some(consumer) = consumers.iter().find(pulls) else {
        return Err(CloudflareOpenError::NoPullConsumer { queue });
    };
    let mut warnings = Vec::new();
    if let Some(max_retries) = consumer.settings.max_retries.map(whole).filter(|most| *most < MIN_RETRIES) {
        warnings.push(CloudflareWarning::FewRetries {
            queue: queue.clone(),
            max_retries,
            needed: MIN_RETRIES,
        });
    }
    if consumer.dead_letter_queue.as_deref().is_none_or(str::is_empty) {
        warnings.push(CloudflareWarning::NoDeadLetterQueue { queue: queue.clone() });
    }
    if let Some(seconds) = settings.message_retention_period.map(whole).filter(|time| *time < MIN_RETENTION) {
        warnings.push(CloudflareWarning::ShortRetention { queue: queue.clone(), seconds });
    }
    if let Some(seconds) = settings.delivery_delay.map(whole).filter(|seconds| *seconds > 0) {
        warnings.push(CloudflareWarning::Delayed { queue: queue.clone(), seconds });
    }
    if settings.delivery_paused == Some(true) {
        warnings.push(CloudflareWarning::Paused { queue });
    }
    Ok(warnings)
}

/// The API's numbers are any that JSON has.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    reason = "the cast saturates, and the number is a whole one"
)]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings_for(settings: &str, consumers: &str) -> Result<Vec<CloudflareWarning>, CloudflareOpenError> {
        let queue = format!(r#"{{"queue_name":"jobs","settings":{settings},"consumers":{consumers}}}"#);
        weigh(serde_json::from_str(&queue).unwrap())
    }

    fn consumer(max_retries: u64) -> String {
        format!(
            r#"[{{"type":"worker"}},{{"type":"http_pull","dead_letter_queue":"d","settings":{{"max_retries":{max_retries}}}}}]"#
        )
    }

    #[test]
    fn a_queue_that_keeps_messages_causes_no_warning() {
        let settings = r#"{"delivery_delay":0,"delivery_paused":false,"message_retention_period":86400}"#;
        assert_eq!(warnings_for(settings, &consumer(20)).unwrap(), []);
        assert_eq!(warnings_for("{}", &consumer(100)).unwrap(), []);
    }

    #[test]
    fn each_warning_names_the_command_that_fixes_it() {
        let queue = || "jobs".to_owned();
        let expected = [
            CloudflareWarning::FewRetries { queue: queue(), max_retries: 19, needed: 20 },
            CloudflareWarning::ShortRetention { queue: queue(), seconds: 86_399 },
            CloudflareWarning::Delayed { queue: queue(), seconds: 1 },
            CloudflareWarning::Paused { queue: queue() },
        ];
        let settings = r#"{"delivery_delay":1,"delivery_paused":true,"message_retention_period":86399}"#;
        assert_eq!(warnings_for(settings, &consumer(19)).unwrap(), expected);
        let no_dead = [CloudflareWarning::NoDeadLetterQueue { queue: queue() }];
        for dead in ["null", r#""""#] {
            let consumers = format!(r#"[{{"type":"http_pull","dead_letter_queue":{dead}}}]"#);
            assert_eq!(warnings_for("{}", &consumers).unwrap(), no_dead);
        }
        for warning in expected.iter().chain(&no_dead) {
            let text = warning.to_string();
            assert!(text.contains("npx wrangler queues"), "{text}");
        }
    }

    #[test]
    fn a_queue_without_a_pull_consumer_is_refused() {
        for consumers in ["[]", r#"[{"type":"worker"}]"#] {
            let error = warnings_for("{}", consumers).unwrap_err().to_string();
            assert!(error.contains("consumer http add jobs"), "{error}");
        }
    }
}
