//! What makes the queue unavailable.

use std::fmt;
use std::time::Duration;

/// What made the queue unavailable, as far as it can be told without telling a message or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No answer came, and why.
    NoAnswer(&'static str),
    /// There were too many requests.
    Throttled,
    /// There is no such access key.
    UnknownKey,
    /// The session of temporary credentials is over.
    Expired,
    /// The clocks are too far apart for a signature to hold.
    Clock {
        /// How far the clock of this machine is ahead, as far as it is known.
        ahead: Duration,
        /// How far it is behind, likewise.
        behind: Duration,
    },
    /// The signature is wrong.
    Signature,
    /// The credentials do not permit it.
    NotPermitted,
    /// There is no such queue.
    NoQueue,
    /// Another refusal: the status and the service's code for it.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The code, where the answer has one.
        code: Option<String>,
    },
    /// The answer is no confirmation and no refusal.
    Answer,
}

impl chargegate_queue::Cause for Cause {
    fn lies_in_settings(&self) -> bool {
        match self {
            Self::UnknownKey | Self::Expired | Self::Signature | Self::NotPermitted | Self::NoQueue => true,
            Self::NoAnswer(_)
            | Self::Throttled
            | Self::Clock { .. }
            | Self::Refused { .. }
            | Self::Answer => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(text) => write!(f, "no answer from the server of queue_url: {text}"),
            Self::Throttled => f.write_str("the service throttles: more is sent than it takes"),
            Self::UnknownKey => f.write_str(
                "the service does not know the access key: check aws_access_key_id, and that the key is active",
            ),
            Self::Expired => f.write_str(
                "the credentials have expired: renew aws_access_key_id, aws_secret_access_key and aws_session_token",
            ),
            Self::Clock { ahead, behind } => write_clock(f, *ahead, *behind),
            Self::Signature => f.write_str(
                "the service does not take the signature: check aws_secret_access_key, which must belong to aws_access_key_id, and aws_region",
            ),
            Self::NotPermitted => f.write_str(
                "the credentials do not permit it: allow sqs:SendMessage on the queue that queue_path names to aws_access_key_id, and kms:GenerateDataKey and kms:Decrypt on its KMS key if it has one",
            ),
            Self::NoQueue => f.write_str(
                "there is no such queue: check queue_path, and that queue_url and aws_region are of the queue's region",
            ),
            Self::Refused { status, code: Some(code) } => write!(f, "the service answers {status} {code}"),
            Self::Refused { status, code: None } => write!(f, "the server of queue_url answers {status}"),
            Self::Answer => {
                f.write_str("the answer cannot be understood: check that queue_url names an endpoint of Amazon SQS")
            }
        }
    }
}

fn write_clock(f: &mut fmt::Formatter<'_>, ahead: Duration, behind: Duration) -> fmt::Result {
    let skew = ahead.max(behind);
    let minutes = (skew.as_secs() + 30) / 60;
    if skew.is_zero() {
        f.write_str("the clocks of this machine and of the service are minutes apart")?;
    } else if behind.is_zero() {
        write!(f, "this machine's clock is {minutes} minutes ahead of the service's")?;
    } else {
        write!(f, "this machine's clock is {minutes} minutes behind the service's")?;
    }
    f.write_str(", so it does not take the signature: set the clock, best by NTP")
}

#[cfg(test)]
mod tests {
    use chargegate_queue::Cause as _;

    use super::*;

    #[test]
    fn only_what_other_settings_may_mend_has_them_read_anew() {
        for cause in
            [Cause::UnknownKey, Cause::Expired, Cause::Signature, Cause::NotPermitted, Cause::NoQueue]
        {
            assert!(cause.lies_in_settings(), "{cause}");
        }
        for cause in [
            Cause::NoAnswer("it cannot be reached"),
            Cause::Throttled,
            Cause::Clock { ahead: Duration::ZERO, behind: Duration::ZERO },
            Cause::Refused { status: 503, code: Some("ServiceUnavailable".into()) },
            Cause::Answer,
        ] {
            assert!(!cause.lies_in_settings(), "{cause}");
        }
    }

    #[track_caller]
    fn check(ahead: u64, behind: u64, expected: &str) {
        let (ahead, behind) = (Duration::from_secs(ahead), Duration::from_secs(behind));
        let text = Cause::Clock { ahead, behind }.to_string();
        assert_eq!(
            text,
            format!("{expected}, so it does not take the signature: set the clock, best by NTP")
        );
    }

    #[test]
    fn a_wrong_clock_is_said_clearly() {
        check(900, 0, "this machine's clock is 15 minutes ahead of the service's");
        check(0, 389, "this machine's clock is 6 minutes behind the service's");
        check(0, 0, "the clocks of this machine and of the service are minutes apart");
    }
}
