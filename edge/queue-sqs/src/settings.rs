//! Settings, from the variables of the component.

use std::fmt;
use std::time::Duration;

use chargegate_core::{CallbackScheme, sqs};
use chargegate_queue::{SettingError, number};
use chargegate_sigv4::{AwsCredentials, AwsCredentialsError};

/// What an operator may set.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) scheme: CallbackScheme,
    /// The value of the `Host` header.
    pub(crate) host: String,
    /// The queue's name within requests.
    pub(crate) queue: String,
    pub(crate) region: String,
    pub(crate) credentials: AwsCredentials,
    /// For everything that one message takes.
    pub(crate) timeout: Duration,
}

impl Settings {
    /// The variables that are read.
    pub const VARIABLES: [&str; 7] = [
        "queue_url",
        "queue_path",
        "queue_timeout_ms",
        "aws_region",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
    ];

    /// Reads the settings; `lookup` gives the value of a variable, if it is set. An empty value is as good as none.
    ///
    /// # Errors
    /// [`SettingError`], naming the first malformed variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let timeout = SettingError("queue_timeout_ms must be a number from 1 to 60000");
        let timeout = number(set("queue_timeout_ms"), 1..=60_000, 1_500, timeout)?;
        let (scheme, host) = server(&set("queue_url").ok_or(SettingError("queue_url is not set"))?)?;
        let path = set("queue_path").ok_or(SettingError(
            "queue_path is not set: it must be /account/queue, like /123456789012/chargegate",
        ))?;
        check_path(&path)?;
        let name = match scheme {
            CallbackScheme::Http => "http",
            CallbackScheme::Https => "https",
        };
        let queue = format!("{name}://{host}{path}");
        let region = region(set("aws_region"), &host)?;
        let key_id = set("aws_access_key_id").ok_or(SettingError("aws_access_key_id is not set"))?;
        let secret = set("aws_secret_access_key").ok_or(SettingError("aws_secret_access_key is not set"))?;
        let credentials = AwsCredentials::new(&key_id, &secret, set("aws_session_token").as_deref());
        let credentials = credentials.map_err(|error| {
            SettingError(match error {
                AwsCredentialsError::AccessKeyId => "aws_access_key_id has a character that cannot be in one",
                AwsCredentialsError::SecretAccessKey => {
                    "aws_secret_access_key has a character that cannot be in one"
                }
                AwsCredentialsError::SessionToken => {
                    "aws_session_token has a character that cannot be in one"
                }
            })
        })?;
        Ok(Self { scheme, host, queue, region, credentials, timeout: Duration::from_millis(timeout) })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("queue", &self.queue)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Scheme and host. `queue_url` is also what a manifest allows to be reached, and there nothing more may stand.
fn server(url: &str) -> Result<(CallbackScheme, String), SettingError> {
    let malformed = SettingError(
        "queue_url must be https://host or http://host:port, like https://sqs.eu-central-1.amazonaws.com; the queue itself is in queue_path",
    );
    let (scheme, host) = url.split_once("://").ok_or(malformed)?;
    let (scheme, own_port) = match scheme {
        "https" => (CallbackScheme::Https, ":443"),
        "http" => (CallbackScheme::Http, ":80"),
        _ => return Err(malformed),
    };
    let host = host.strip_suffix('/').unwrap_or(host);
    // Hosts leave the scheme's own port out of the `Host` header, which is signed.
    let host = host.strip_suffix(own_port).unwrap_or(host).to_ascii_lowercase();
    let is_outside = |letter: char| {
        !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '.' | '_' | ':' | '[' | ']')
    };
    if host.is_empty() || host.starts_with(':') || host.contains(is_outside) {
        return Err(malformed);
    }
    Ok((scheme, host))
}

fn check_path(path: &str) -> Result<(), SettingError> {
    let malformed = SettingError("queue_path must be /account/queue, like /123456789012/chargegate");
    let (account, queue) = path.strip_prefix('/').and_then(|path| path.split_once('/')).ok_or(malformed)?;
    if queue.strip_suffix(".fifo").is_some_and(sqs::is_name) {
        return Err(SettingError(
            "queue_path names a FIFO queue, which holds back a client's messages while one of them is under way: name a standard queue",
        ));
    }
    if sqs::is_name(account) && sqs::is_name(queue) { Ok(()) } else { Err(malformed) }
}

fn region(set: Option<String>, host: &str) -> Result<String, SettingError> {
    match set {
        Some(region) if sqs::is_name(&region) => Ok(region),
        Some(_) => Err(SettingError("aws_region must be the name of a region, like eu-central-1")),
        None => sqs::region(host).map(Into::into).ok_or(SettingError(
            "aws_region is not set, and the host in queue_url is not one of Amazon's, which tell it",
        )),
    }
}

#[cfg(test)]
mod tests;
