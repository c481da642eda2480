//! The settings of the queue on SQS.

use std::fmt;
use std::time::Duration;

use chargegate_queue::{ComponentSettings, ComponentSettingsError, parse_timeout};
use chargegate_sigv4::{AwsCredentials, AwsCredentialsError};
use chargegate_sqs_protocol::{EndpointScheme, QueueNameError, check_queue_name, is_name, region_of_host};

/// The settings of the queue on SQS.
#[derive(Clone, PartialEq, Eq)]
pub struct SqsQueueSettings {
    pub(crate) scheme: EndpointScheme,
    /// The value of the `Host` header.
    pub(crate) host: String,
    /// The URL that names the queue within requests.
    pub(crate) queue_url: String,
    pub(crate) region: String,
    pub(crate) credentials: AwsCredentials,
    /// The time limit of one message, over all of its requests.
    pub(crate) timeout: Duration,
}

impl ComponentSettings for SqsQueueSettings {
    const VARIABLES: &'static [&'static str] = &[
        "queue_url",
        "queue_path",
        "queue_timeout_ms",
        "aws_region",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
    ];

    fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ComponentSettingsError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let required = |name, error| set(name).ok_or(ComponentSettingsError(error));
        let timeout = parse_timeout(set("queue_timeout_ms"))?;
        let (scheme, host) = parse_server(&required("queue_url", "queue_url is not set")?)?;
        let path = required(
            "queue_path",
            "queue_path is not set: it must be /account/queue, like /123456789012/chargegate",
        )?;
        check_path(&path)?;
        let queue_url = format!("{}://{host}{path}", scheme.as_str());
        let region = region(set("aws_region"), &host)?;
        let key_id = required("aws_access_key_id", "aws_access_key_id is not set")?;
        let secret = required("aws_secret_access_key", "aws_secret_access_key is not set")?;
        let credentials = AwsCredentials::new(&key_id, &secret, set("aws_session_token").as_deref());
        let credentials = credentials.map_err(|error| {
            ComponentSettingsError(match error {
                AwsCredentialsError::AccessKeyId => "aws_access_key_id contains an invalid character",
                AwsCredentialsError::SecretAccessKey => "aws_secret_access_key contains an invalid character",
                AwsCredentialsError::SessionToken => "aws_session_token contains an invalid character",
            })
        })?;
        Ok(Self { scheme, host, queue_url, region, credentials, timeout })
    }
}

impl fmt::Debug for SqsQueueSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueueSettings")
            .field("queue_url", &self.queue_url)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Parses `queue_url` into scheme and host.
///
/// It may contain nothing else, since the manifest also lists it as the allowed outbound host.
fn parse_server(url: &str) -> Result<(EndpointScheme, String), ComponentSettingsError> {
    let malformed = ComponentSettingsError(
        "queue_url must be https://host or http://host:port, like https://sqs.eu-central-1.amazonaws.com; the queue itself is in queue_path",
    );
    let (scheme, host) = url.split_once("://").ok_or(malformed)?;
    let scheme = match scheme {
        "https" => EndpointScheme::Https,
        "http" => EndpointScheme::Http,
        _ => return Err(malformed),
    };
    let host = scheme.host_header(host.strip_suffix('/').unwrap_or(host));
    let is_invalid = |letter: char| {
        !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '.' | '_' | ':' | '[' | ']')
    };
    if host.is_empty() || host.starts_with(':') || host.contains(is_invalid) {
        return Err(malformed);
    }
    Ok((scheme, host))
}

fn check_path(path: &str) -> Result<(), ComponentSettingsError> {
    let malformed =
        ComponentSettingsError("queue_path must be /account/queue, like /123456789012/chargegate");
    let (account, queue) = path.strip_prefix('/').and_then(|path| path.split_once('/')).ok_or(malformed)?;
    check_queue_name(account, queue).map_err(|error| match error {
        QueueNameError::Malformed => malformed,
        QueueNameError::Fifo => ComponentSettingsError(
            "queue_path names a FIFO queue, which holds back a client's messages while one of them is in flight: name a standard queue",
        ),
    })
}

/// Returns the configured region, or else the region in the name of the host.
fn region(configured: Option<String>, host: &str) -> Result<String, ComponentSettingsError> {
    match configured {
        Some(region) if is_name(&region) => Ok(region),
        Some(_) => Err(ComponentSettingsError("aws_region must be the name of a region, like eu-central-1")),
        None => region_of_host(host).map(Into::into).ok_or(ComponentSettingsError(
            "aws_region is not set, and the host of queue_url is not one of Amazon's that names a region",
        )),
    }
}

#[cfg(test)]
mod tests;
