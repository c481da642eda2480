//! Client of the authorization service.

mod http;

use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{DecisionReason, DecisionStatus, DriverToken, StationId, Traceparent};

pub use self::http::{AclUrl, AclUrlError, HttpAuthorizer};

/// One request to the authorization service.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// Station at which the driver wants to charge.
    pub station_id: &'a StationId,
    /// Token of the driver.
    pub driver_token: &'a DriverToken,
    /// Trace context of the call, a span of its own.
    pub traceparent: Traceparent,
}

/// Service that decides which driver may charge where.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Calls the service once; `timeout` bounds the whole exchange.
    ///
    /// # Errors
    /// [`AclCallError`]; any response but a known status is an error.
    async fn authorize(
        &self,
        request: AuthorizationRequest<'_>,
        timeout: Duration,
    ) -> Result<DecisionStatus, AclCallError>;
}

/// Failure of one call to the authorization service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclCallError {
    /// The exchange exceeded the timeout.
    #[error("the authorization service did not answer in time")]
    TimedOut,
    /// The connection was refused or cut.
    #[error("the authorization service cannot be reached")]
    Unreachable,
    /// This process lacked the means to send: descriptors or ports. It is not an answer of the service.
    #[error("this process could not open a connection to the authorization service")]
    NotSent,
    /// The service refused the call because of overload.
    #[error("the authorization service is overloaded (status {status})")]
    Overloaded {
        /// 429 or 503.
        status: u16,
        /// The pause that the service asked for.
        retry_after: Option<Duration>,
    },
    /// The status was neither 200 nor one of overload.
    #[error("the authorization service answered with status {0}")]
    Status(u16),
    /// The response was 200 but unusable: another content type, too large, or an unknown status.
    #[error("the response of the authorization service is unreadable")]
    Unreadable,
}

impl AclCallError {
    /// Returns the reason of a decision made after this failure.
    #[must_use]
    pub const fn reason(self) -> DecisionReason {
        match self {
            Self::TimedOut => DecisionReason::AclTimeout,
            Self::Unreachable
            | Self::NotSent
            | Self::Overloaded { .. }
            | Self::Status(_)
            | Self::Unreadable => DecisionReason::AclError,
        }
    }

    /// Returns the name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NotSent => "not_sent",
            Self::Overloaded { .. } => "overloaded",
            Self::Status(_) => "status",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests;
