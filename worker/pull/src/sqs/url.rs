//! URL of a queue.

use std::fmt;
use std::str::FromStr;

use chargegate_sqs_protocol::{EndpointScheme, QueueNameError, check_queue_name, is_name, region_of_host};
use http::uri::Authority;

/// URL of a queue on Amazon SQS: `sqs://sqs.eu-central-1.amazonaws.com/123456789012/chargegate`, or
/// `sqs+http://host:port/account/queue?region=name` for compatible servers without TLS.
///
/// The region is part of Amazon's host names; `?region=` names it for other hosts, and takes precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqsQueueUrl {
    scheme: EndpointScheme,
    authority: Authority,
    account: Box<str>,
    queue: Box<str>,
    region: Box<str>,
}

/// Text that is not the URL of a usable queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqsQueueUrlError {
    /// The text is not such a URL.
    #[error(
        "expected sqs://host/account/queue, like sqs://sqs.eu-central-1.amazonaws.com/123456789012/chargegate, without credentials; or sqs+http:// with ?region= for an endpoint of your own"
    )]
    Malformed,
    /// Neither the host nor the query names the region.
    #[error("the region is missing: the host is not of Amazon's, so add it as ?region=eu-central-1")]
    NoRegion,
    /// The queue is first-in-first-out.
    #[error(
        "a FIFO queue cannot be used, since it holds back a client's messages while one of them is under way: name a standard queue"
    )]
    Fifo,
}

impl SqsQueueUrl {
    /// Returns the endpoint of calls.
    pub(super) fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority)
    }

    /// Returns the queue URL as a parameter of calls.
    pub(super) fn in_calls(&self) -> String {
        format!("{}/{}/{}", self.endpoint(), self.account, self.queue)
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }
}

impl FromStr for SqsQueueUrl {
    type Err = SqsQueueUrlError;

    fn from_str(text: &str) -> Result<Self, SqsQueueUrlError> {
        const MALFORMED: SqsQueueUrlError = SqsQueueUrlError::Malformed;
        let (scheme, rest) = text.split_once("://").ok_or(MALFORMED)?;
        let scheme = match scheme {
            "sqs" => EndpointScheme::Https,
            "sqs+http" => EndpointScheme::Http,
            _ => return Err(MALFORMED),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = rest.split('/');
        let (Some(host), Some(account), Some(queue), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MALFORMED);
        };
        let host = scheme.host_header(host);
        let authority: Authority = host.parse().map_err(|_| MALFORMED)?;
        let has_bad_port = host.rfind(':') > host.rfind(']') && authority.port_u16().is_none();
        if authority.host().is_empty() || host.contains('@') || has_bad_port {
            return Err(MALFORMED);
        }
        check_queue_name(account, queue).map_err(|error| match error {
            QueueNameError::Malformed => MALFORMED,
            QueueNameError::Fifo => SqsQueueUrlError::Fifo,
        })?;
        let region = match query.split_once('=') {
            None if query.is_empty() => region_of_host(authority.host()).ok_or(SqsQueueUrlError::NoRegion)?,
            Some(("region", region)) if is_name(region) => region,
            _ => return Err(MALFORMED),
        };
        let region = region.into();
        Ok(Self { scheme, authority, account: account.into(), queue: queue.into(), region })
    }
}

/// The URL without its query.
impl fmt::Display for SqsQueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, account, queue, .. } = self;
        let scheme = match self.scheme {
            EndpointScheme::Https => "sqs",
            EndpointScheme::Http => "sqs+http",
        };
        write!(f, "{scheme}://{authority}/{account}/{queue}")
    }
}

#[cfg(test)]
mod tests;
