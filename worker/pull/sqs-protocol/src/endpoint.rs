//! The endpoint of the service, and the names of Amazon's hosts, queues and regions.

use alloc::string::String;

/// Scheme of an endpoint's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointScheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl EndpointScheme {
    /// Returns the scheme as it is written in URLs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns a host, with its port if it has one, as clients send it in the `Host` header, which is signed: in lower
    /// case, and without the scheme's default port.
    #[must_use]
    pub fn host_header(self, host: &str) -> String {
        let default_port = match self {
            Self::Http => ":80",
            Self::Https => ":443",
        };
        host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase()
    }
}

/// The reason why a queue cannot be used under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueNameError {
    /// The account or the queue has no valid name.
    Malformed,
    /// The queue is first-in-first-out, which holds back a client's messages while one of them is in flight.
    Fifo,
}

/// Checks the names of an account and of its queue.
///
/// # Errors
/// [`QueueNameError`] is the reason why the queue cannot be used.
pub fn check_queue_name(account: &str, queue: &str) -> Result<(), QueueNameError> {
    if queue.strip_suffix(".fifo").is_some_and(is_name) {
        return Err(QueueNameError::Fifo);
    }
    if is_name(account) && is_name(queue) { Ok(()) } else { Err(QueueNameError::Malformed) }
}

/// Returns the region in the name of an SQS host of Amazon: the label after `sqs` or `sqs-fips`, for a public endpoint,
/// one for IPv6, or one within a private network.
#[must_use]
pub fn region_of_host(host: &str) -> Option<&str> {
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    let amazon_host = suffixes.into_iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let labels = amazon_host.strip_suffix(".vpce").unwrap_or(amazon_host);
    let (before, region) = labels.rsplit_once('.')?;
    let service = before.rsplit('.').next()?;
    (matches!(service, "sqs" | "sqs-fips") && is_name(region)).then_some(region)
}

/// Returns whether `text` is valid as the name of a standard queue, an account or a region.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = (1..=80).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_the_host_names_of_amazon() {
        for (host, expected) in [
            ("sqs.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("sqs.eu-west-1.api.aws", Some("eu-west-1")),
            ("vpce-0a1b-x.sqs.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
            ("sqs.amazonaws.com", None),
            ("s3.eu-west-1.amazonaws.com", None),
            ("sqs.eu-west-1.amazonaws.com.evil.example", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(region_of_host(host), expected, "{host}");
        }
    }

    #[test]
    fn the_host_header_has_no_default_port() {
        for (scheme, host, expected) in [
            (EndpointScheme::Https, "H:443", "h"),
            (EndpointScheme::Https, "h:80", "h:80"),
            (EndpointScheme::Http, "h:80", "h"),
            (EndpointScheme::Http, "h:443", "h:443"),
        ] {
            assert_eq!(scheme.host_header(host), expected, "{host}");
        }
    }

    #[test]
    fn a_fifo_queue_is_refused_as_such() {
        assert_eq!(check_queue_name("1", "q"), Ok(()));
        assert_eq!(check_queue_name("1", "q.fifo"), Err(QueueNameError::Fifo));
        for (account, queue) in [("1", ".fifo"), ("1", "q.x"), ("", "q"), ("1", ""), ("1", "q/r")] {
            assert_eq!(check_queue_name(account, queue), Err(QueueNameError::Malformed), "{account} {queue}");
        }
    }
}
