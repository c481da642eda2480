//! The reasons for which SQS does not confirm a message.

use std::fmt;

use chargegate_core::EnqueueError;
use chargegate_queue::QueueEngineError;
use chargegate_sqs_protocol::ClockSkew;

/// The reason why a message was not confirmed, without any part of the message and without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqsEnqueueError {
    /// The message is longer than any that a worker decodes.
    TooLarge,
    /// The service did not confirm in time.
    TimedOut,
    /// No response arrived, for the given reason.
    NoResponse(&'static str),
    /// Too many requests were made.
    Throttled,
    /// The access key does not exist.
    UnknownKey,
    /// The session of temporary credentials has ended.
    Expired,
    /// The clocks are too far apart for a signature to be valid.
    ClockSkew(ClockSkew),
    /// The signature is wrong.
    Signature,
    /// The credentials do not permit the request.
    NotPermitted,
    /// The queue does not exist.
    NoQueue,
    /// The request was refused for another reason.
    Refused {
        /// The status of the response.
        status: u16,
        /// The service's error code, if the response has one.
        code: Option<String>,
    },
    /// The response is neither a confirmation nor a refusal.
    UnexpectedResponse,
}

impl QueueEngineError for SqsEnqueueError {
    fn kind(&self) -> EnqueueError {
        match self {
            Self::TooLarge => EnqueueError::TooLarge,
            Self::TimedOut => EnqueueError::TimedOut,
            Self::NoResponse(_)
            | Self::Throttled
            | Self::UnknownKey
            | Self::Expired
            | Self::ClockSkew(_)
            | Self::Signature
            | Self::NotPermitted
            | Self::NoQueue
            | Self::Refused { .. }
            | Self::UnexpectedResponse => EnqueueError::Unavailable,
        }
    }

    fn invalidates_settings(&self) -> bool {
        match self {
            Self::UnknownKey | Self::Expired | Self::Signature | Self::NotPermitted | Self::NoQueue => true,
            Self::TooLarge
            | Self::TimedOut
            | Self::NoResponse(_)
            | Self::Throttled
            | Self::ClockSkew(_)
            | Self::Refused { .. }
            | Self::UnexpectedResponse => false,
        }
    }
}

impl fmt::Display for SqsEnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the message is too large"),
            Self::TimedOut => f.write_str("the server did not confirm in time"),
            Self::NoResponse(reason) => write!(f, "no response from the server of queue_url: {reason}"),
            Self::Throttled => f.write_str("the service throttles requests: more are sent than it allows"),
            Self::UnknownKey => f.write_str(
                "the service does not know the access key: check aws_access_key_id, and that the key is active",
            ),
            Self::Expired => f.write_str(
                "the credentials have expired: renew aws_access_key_id, aws_secret_access_key and aws_session_token",
            ),
            Self::ClockSkew(skew) => write_clock_skew(f, *skew),
            Self::Signature => f.write_str(
                "the service rejects the signature: check aws_secret_access_key, which must belong to aws_access_key_id, and aws_region",
            ),
            Self::NotPermitted => f.write_str(
                "the credentials do not permit it: grant aws_access_key_id sqs:SendMessage on the queue of queue_path, and kms:GenerateDataKey and kms:Decrypt on its KMS key if it has one",
            ),
            Self::NoQueue => f.write_str(
                "the queue does not exist: check queue_path, and that queue_url and aws_region name the queue's region",
            ),
            Self::Refused { status, code: Some(code) } => write!(f, "the service answers {status} {code}"),
            Self::Refused { status, code: None } => write!(f, "the server of queue_url answers {status}"),
            Self::UnexpectedResponse => {
                f.write_str("the response is not understood: check that queue_url is an endpoint of Amazon SQS")
            }
        }
    }
}

fn write_clock_skew(f: &mut fmt::Formatter<'_>, ClockSkew { ahead, behind }: ClockSkew) -> fmt::Result {
    let skew = ahead.max(behind);
    let minutes = (skew.as_secs() + 30) / 60;
    if skew.is_zero() {
        f.write_str("the clocks of this machine and of the service are minutes apart")?;
    } else if behind.is_zero() {
        write!(f, "this machine's clock is {minutes} minutes ahead of the service's")?;
    } else {
        write!(f, "this machine's clock is {minutes} minutes behind the service's")?;
    }
    f.write_str(", so the service rejects the signature: set the clock, preferably by NTP")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_errors_that_other_settings_may_resolve_invalidate_them() {
        for error in [
            SqsEnqueueError::UnknownKey,
            SqsEnqueueError::Expired,
            SqsEnqueueError::Signature,
            SqsEnqueueError::NotPermitted,
            SqsEnqueueError::NoQueue,
        ] {
            assert!(error.invalidates_settings(), "{error}");
        }
        for error in [
            SqsEnqueueError::TooLarge,
            SqsEnqueueError::TimedOut,
            SqsEnqueueError::NoResponse("it cannot be reached"),
            SqsEnqueueError::Throttled,
            SqsEnqueueError::ClockSkew(ClockSkew::default()),
            SqsEnqueueError::Refused { status: 503, code: Some("ServiceUnavailable".into()) },
            SqsEnqueueError::UnexpectedResponse,
        ] {
            assert!(!error.invalidates_settings(), "{error}");
        }
    }

    #[track_caller]
    fn check(ahead: u64, behind: u64, expected: &str) {
        let (ahead, behind) = (Duration::from_secs(ahead), Duration::from_secs(behind));
        let remedy = "so the service rejects the signature: set the clock, preferably by NTP";
        let error = SqsEnqueueError::ClockSkew(ClockSkew { ahead, behind });
        assert_eq!(error.to_string(), format!("{expected}, {remedy}"));
    }

    #[test]
    fn a_wrong_clock_is_reported_in_minutes() {
        check(900, 0, "this machine's clock is 15 minutes ahead of the service's");
        check(0, 389, "this machine's clock is 6 minutes behind the service's");
        check(0, 0, "the clocks of this machine and of the service are minutes apart");
    }
}
