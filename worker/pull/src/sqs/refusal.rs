//! Refusals that an operator must resolve.

use std::sync::Arc;
use std::time::Duration;

use chargegate_sqs_protocol::ClockSkew;

use super::credentials::CredentialsError;
use crate::engine::PullServiceError;
use chargegate_storage::metric;

/// A refusal by the service that lasts until somebody changes a setting. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SqsRefusal {
    /// No credentials are available.
    #[error(
        "there are no AWS credentials for the queue: set an access key or a profile, or give this machine or container a role"
    )]
    NoCredentials(#[source] CredentialsError),
    /// The access key is unknown.
    #[error(
        "the queue's service does not know the access key: check it, or the profile or role it comes from, and that the key is active"
    )]
    UnknownKey,
    /// Temporary credentials have expired.
    #[error(
        "the AWS credentials for the queue have expired: those of a session token are renewed by a restart with new ones, those in a file by writing it"
    )]
    Expired,
    /// The signature is wrong.
    #[error(
        "the queue's service rejects the signature ({code}): check the secret access key, which must belong to the access key, and the region, which is {region}"
    )]
    Signature {
        /// Error code of the service.
        code: Box<str>,
        /// Region of the signature.
        region: Box<str>,
    },
    /// The clocks are too far apart for a valid signature.
    #[error(
        "this machine's clock {}, so it rejects the signature: set the clock, preferably by NTP",
        describe_skew(*.0)
    )]
    Clock(ClockSkew),
    /// The credentials do not permit the operation.
    #[error(
        "the AWS credentials for the queue do not permit {operation}: let a policy allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:SendMessage and sqs:GetQueueAttributes on the queue, and its KMS key if it has one; it says: {detail}"
    )]
    NotPermitted {
        /// Name of the operation.
        operation: &'static str,
        /// Text of the service.
        detail: Box<str>,
    },
    /// There is no such queue.
    #[error("there is no queue {queue}: check account, name and region, or create the queue")]
    NoQueue {
        /// Name of the queue.
        queue: Box<str>,
    },
    /// The request was not understood, or another service responds.
    #[error(
        "the queue's service refuses {operation} with {status} {code}: check that the URL names a standard queue on Amazon SQS"
    )]
    Other {
        /// Name of the operation.
        operation: &'static str,
        /// The status of the answer.
        status: u16,
        /// Error code of the service; empty if absent.
        code: Box<str>,
    },
}

impl SqsRefusal {
    /// Returns whether other credentials may help.
    pub(super) fn is_of_credentials(&self) -> bool {
        match self {
            Self::UnknownKey | Self::Expired | Self::Signature { .. } => true,
            Self::NoCredentials(_)
            | Self::Clock(_)
            | Self::NotPermitted { .. }
            | Self::NoQueue { .. }
            | Self::Other { .. } => false,
        }
    }
}

/// Failure of a call.
#[derive(Clone, Debug)]
pub(super) enum SqsCallError {
    /// The service throttles calls.
    Throttled(Option<Duration>),
    /// The service is unreachable, or failed transiently.
    Unavailable(Arc<dyn std::error::Error + Send + Sync>),
    /// The service refused; an operator must act.
    Refused(SqsRefusal),
}

impl SqsCallError {
    pub(super) fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(cause.into()))
    }
}

impl From<SqsCallError> for PullServiceError {
    fn from(failure: SqsCallError) -> Self {
        match failure {
            SqsCallError::Throttled(retry_after) => Self::Throttled { retry_after },
            SqsCallError::Unavailable(cause) => Self::Unavailable(cause),
            SqsCallError::Refused(refusal) => {
                let cause = metric::cause(&refusal);
                let text = if cause.is_empty() { refusal.to_string() } else { format!("{refusal}: {cause}") };
                Self::Refused(text.into())
            }
        }
    }
}

fn describe_skew(ClockSkew { ahead, behind }: ClockSkew) -> String {
    let minutes = |time: Duration| match (time.as_secs() + 30) / 60 {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    if !ahead.is_zero() {
        format!("is {} ahead of that of the queue's service", minutes(ahead))
    } else if !behind.is_zero() {
        format!("is {} behind that of the queue's service", minutes(behind))
    } else {
        "and that of the queue's service are minutes apart".to_owned()
    }
}
