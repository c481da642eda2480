//! Asking the authorization service.

mod http;

use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{DecisionReason, DecisionStatus, DriverToken, StationId, Traceparent};

pub use self::http::{AclUrl, AclUrlError, HttpAuthorizer};

/// One question to the authorization service.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where the driver wants to charge.
    pub station_id: &'a StationId,
    /// Who the driver is.
    pub driver_token: &'a DriverToken,
    /// The call's own span.
    pub traceparent: Traceparent,
}

/// Whoever knows which driver may charge where.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Asks once; the whole exchange takes no longer than `timeout`.
    ///
    /// # Errors
    /// [`NoAnswer`]: whatever is not a known status is no answer.
    async fn ask(&self, question: Question<'_>, timeout: Duration) -> Result<DecisionStatus, NoAnswer>;
}

/// A call had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It did not end in its time.
    #[error("the authorization service did not answer in time")]
    TimedOut,
    /// The connection was refused or cut.
    #[error("the authorization service cannot be reached")]
    Unreachable,
    /// It answered with a status other than 200.
    #[error("the authorization service answered with status {0}")]
    Status(u16),
    /// It answered 200 with something that is no answer: another content type, too large, or no known status.
    #[error("the authorization service answered with what is no answer")]
    Unreadable,
}

impl NoAnswer {
    /// The reason of a decision made without an answer.
    #[must_use]
    pub const fn reason(self) -> DecisionReason {
        match self {
            Self::TimedOut => DecisionReason::AclTimeout,
            Self::Unreachable | Self::Status(_) | Self::Unreadable => DecisionReason::AclError,
        }
    }

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Status(_) => "status",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests;
