//! Client of the authorization service.

mod answer;
mod check;
mod connections;
mod credential;
mod failure;
mod files;
mod health;
mod http;
mod profile;
mod resolver;
mod tls;
mod url;

use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{DecisionReason, DecisionStatus, DriverToken, StationId, Traceparent};

pub use self::check::{AclCheckReport, AclCheckResponse};
pub use self::credential::AclCredential;
pub use self::files::{AclFile, AclFileError, AclFileFault};
pub(crate) use self::files::{FileStamp, is_exposed, read_bounded};
pub use self::health::AclHealth;
pub use self::http::{AclClientError, AclClientSettings, HttpAuthorizer};
pub use self::profile::{AclProfile, AclProfileError};
pub use self::resolver::{HostResolver, SystemResolver};
pub use self::tls::{AclClientIdentity, AclTlsFiles};
pub(crate) use self::tls::{load_authorities, load_identity};
pub use self::url::{AclUrl, AclUrlError};

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
    /// The exchange exceeded the timeout. The service may still work on the call.
    #[error("the authorization service did not answer in time")]
    TimedOut,
    /// The connection was refused, or failed in TLS.
    #[error("the authorization service cannot be reached")]
    Unreachable,
    /// The connection was cut before a complete response. The service may still work on the call.
    #[error("the connection to the authorization service was cut before the answer")]
    Cut,
    /// This process ran out of descriptors or local ports; the service saw nothing of the call.
    #[error("the call was not sent: this process ran out of file descriptors or local ports")]
    NotSent,
    /// The service asked for fewer calls.
    #[error("the authorization service is overloaded (status {status})")]
    Overloaded {
        /// 429 or 503.
        status: u16,
        /// Wait that the service asks for.
        retry_after: Option<Duration>,
    },
    /// The response has a status that is not an answer.
    #[error("the authorization service answered with status {0}, which is not an answer")]
    Status(u16),
    /// The response was successful but unusable: another content type, too large, or an unknown value.
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
            | Self::Cut
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
            Self::Cut => "cut",
            Self::NotSent => "not_sent",
            Self::Overloaded { .. } => "overloaded",
            Self::Status(_) => "status",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests;
