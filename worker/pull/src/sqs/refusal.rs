//! What somebody has to mend before the service does as asked.

use std::sync::Arc;
use std::time::Duration;

use super::credentials::CredentialsError;
use crate::engine::PullServiceError;
use chargegate_storage::metric;

/// Why the service of `QUEUE_URL` will not do as asked: who has to mend what. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// There are no credentials to be had.
    #[error(
        "there are no AWS credentials for the queue that QUEUE_URL (--queue-url) names: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine or container a role"
    )]
    NoCredentials(#[source] CredentialsError),
    /// The access key is unknown.
    #[error(
        "the service of QUEUE_URL (--queue-url) does not know the access key: check AWS_ACCESS_KEY_ID, or the profile or role it comes from, and that the key is active"
    )]
    UnknownKey,
    /// The session of temporary credentials is over.
    #[error(
        "the AWS credentials for QUEUE_URL (--queue-url) have expired: those in AWS_SESSION_TOKEN are renewed by a restart with new ones, those in a file by writing it"
    )]
    Expired,
    /// The signature is wrong.
    #[error(
        "the service of QUEUE_URL (--queue-url) does not take the signature ({code}): check AWS_SECRET_ACCESS_KEY, which must belong to AWS_ACCESS_KEY_ID, and the region, which is {region}"
    )]
    Signature {
        /// What the service calls it.
        code: Box<str>,
        /// For which region it was signed.
        region: Box<str>,
    },
    /// The clocks are too far apart for a signature to hold.
    #[error(
        "this machine's clock {}, so it does not take the signature: set the clock, best by NTP",
        apart(*.ahead, *.behind)
    )]
    Clock {
        /// How far this machine's clock is ahead, as far as it is known.
        ahead: Duration,
        /// How far it is behind, likewise.
        behind: Duration,
    },
    /// The credentials do not permit it.
    #[error(
        "the AWS credentials for QUEUE_URL (--queue-url) do not permit {operation}: let a policy allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:SendMessage and sqs:GetQueueAttributes on the queue, and its KMS key if it has one; it says: {detail}"
    )]
    NotPermitted {
        /// What was asked for.
        operation: &'static str,
        /// What the service says.
        detail: Box<str>,
    },
    /// There is no such queue.
    #[error(
        "there is no queue {queue}: check account, name and region in QUEUE_URL (--queue-url), or create the queue"
    )]
    NoQueue {
        /// What it should be.
        queue: Box<str>,
    },
    /// The request was not understood, or another service answers.
    #[error(
        "the service of QUEUE_URL (--queue-url) does not do {operation}, and answers {status} {code}: check that the URL names a standard queue on Amazon SQS"
    )]
    Other {
        /// What was asked for.
        operation: &'static str,
        /// The status of the answer.
        status: u16,
        /// What the service calls it; empty where it does not say.
        code: Box<str>,
    },
}

impl Refusal {
    /// Whether other credentials may help.
    pub(super) fn is_of_credentials(&self) -> bool {
        match self {
            Self::UnknownKey | Self::Expired | Self::Signature { .. } => true,
            Self::NoCredentials(_)
            | Self::Clock { .. }
            | Self::NotPermitted { .. }
            | Self::NoQueue { .. }
            | Self::Other { .. } => false,
        }
    }
}

/// Why a call did not do what it was to do.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The service has had too many calls.
    Throttled(Option<Duration>),
    /// It cannot be reached, or failed in a way that may pass.
    Unavailable(Arc<dyn std::error::Error + Send + Sync>),
    /// Somebody has to mend something.
    Refused(Refusal),
}

impl Failure {
    pub(super) fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(cause.into()))
    }
}

impl From<Failure> for PullServiceError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Throttled(retry_after) => Self::Throttled { retry_after },
            Failure::Unavailable(cause) => Self::Unavailable(cause),
            Failure::Refused(refusal) => {
                let cause = metric::cause(&refusal);
                let text = if cause.is_empty() { refusal.to_string() } else { format!("{refusal}: {cause}") };
                Self::Refused(text.into())
            }
        }
    }
}

fn apart(ahead: Duration, behind: Duration) -> String {
    let minutes = |time: Duration| match (time.as_secs() + 30) / 60 {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    if !ahead.is_zero() {
        format!("is {} ahead of that of the service of QUEUE_URL (--queue-url)", minutes(ahead))
    } else if !behind.is_zero() {
        format!("is {} behind that of the service of QUEUE_URL (--queue-url)", minutes(behind))
    } else {
        "and that of the service of QUEUE_URL (--queue-url) are minutes apart".to_owned()
    }
}
