//! Callback URLs: a strict subset of RFC 3986, so that every URL parser sees the same host.

mod grammar;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

pub(crate) use self::grammar::is_host_name;

/// The scheme of a callback URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackScheme {
    /// `http`, port 80 by default.
    Http,
    /// `https`, port 443 by default.
    Https,
}

/// The host of a callback URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackHost<'a> {
    /// A name to resolve, in lower case, without a trailing dot.
    Name(&'a str),
    /// A literal address; an IPv4-mapped IPv6 address is given as the IPv4 address.
    Address(IpAddr),
}

/// The absolute http or https URL that a decision is posted to, at most 2,048 bytes.
///
/// Scheme and host are converted to lower case, the rest is kept as received. A literal IPv6 address is read in any form,
/// since queued messages and stored callbacks of earlier versions may have one; a request must have the standard form
/// ([`CallbackUrl::from_request`]). The query may contain a secret, so `Debug` shows only the host.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallbackUrl {
    text: Box<str>,
    host: (u16, u16),
    target: u16,
}

impl CallbackUrl {
    /// Longest accepted URL, in bytes.
    pub const MAX_BYTES: usize = 2048;

    /// Parses the callback URL of a request. A literal address must be in its standard form: four decimal numbers, or IPv6
    /// as in RFC 5952 and not IPv4-mapped.
    ///
    /// # Errors
    /// [`CallbackUrlError`].
    pub fn from_request(text: &str) -> Result<Self, CallbackUrlError> {
        let url: Self = text.parse()?;
        let literal = url.host_str().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if literal.is_none_or(grammar::is_standard_v6) { Ok(url) } else { Err(CallbackUrlError::Address) }
    }

    /// Returns the complete URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the scheme.
    #[must_use]
    pub fn scheme(&self) -> CallbackScheme {
        if self.text.starts_with("https:") { CallbackScheme::Https } else { CallbackScheme::Http }
    }

    /// Returns the host as written in the URL, an IPv6 address in brackets. Nothing else of a URL may be logged.
    #[must_use]
    pub fn host_str(&self) -> &str {
        self.slice(self.host.0, self.host.1)
    }

    /// Returns the host as a name or an address.
    #[must_use]
    pub fn host(&self) -> CallbackHost<'_> {
        let text = self.host_str();
        // A name's last character may be a digit; an address begins with a bracket or ends with a digit.
        if !text.starts_with('[') && !text.ends_with(|last: char| last.is_ascii_digit()) {
            return CallbackHost::Name(text);
        }
        let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = literal.parse::<IpAddr>();
        address.map_or(CallbackHost::Name(text), |address| CallbackHost::Address(address.to_canonical()))
    }

    /// Returns the host and the port, if the URL has one: the value of the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.slice(self.host.0, self.target)
    }

    /// Returns the port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        let digits = self.slice(self.host.1, self.target).trim_start_matches(':');
        digits.parse().unwrap_or(match self.scheme() {
            CallbackScheme::Http => 80,
            CallbackScheme::Https => 443,
        })
    }

    /// Returns path and query as received, with `/` for an empty path.
    #[must_use]
    pub fn target(&self) -> RequestTarget<'_> {
        RequestTarget(self.text.get(usize::from(self.target)..).unwrap_or_default())
    }

    fn slice(&self, from: u16, to: u16) -> &str {
        self.text.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }
}

/// Path and query of a callback URL; `Display` writes the origin form of a request target (RFC 9112 section 3.2.1).
/// `Debug` hides it.
#[derive(Clone, Copy)]
pub struct RequestTarget<'a>(&'a str);

impl fmt::Display for RequestTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.starts_with('/') {
            f.write_str("/")?;
        }
        f.write_str(self.0)
    }
}

impl fmt::Debug for RequestTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestTarget(..)")
    }
}

impl FromStr for CallbackUrl {
    type Err = CallbackUrlError;

    fn from_str(text: &str) -> Result<Self, CallbackUrlError> {
        if text.len() > Self::MAX_BYTES {
            return Err(CallbackUrlError::TooLong);
        }
        let spans = grammar::parse(text)?;
        let position = |at: usize| u16::try_from(at).map_err(|_| CallbackUrlError::TooLong);
        let mut kept = String::from(text);
        if let Some(head) = kept.get_mut(..spans.host.end) {
            head.make_ascii_lowercase();
        }
        Ok(Self {
            text: kept.into_boxed_str(),
            host: (position(spans.host.start)?, position(spans.host.end)?),
            target: position(spans.target)?,
        })
    }
}

impl TryFrom<&str> for CallbackUrl {
    type Error = CallbackUrlError;

    fn try_from(text: &str) -> Result<Self, CallbackUrlError> {
        text.parse()
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackUrl({}, ..)", self.host_str())
    }
}

/// The reason why a text does not parse as a [`CallbackUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackUrlError {
    /// It is longer than 2,048 bytes.
    TooLong,
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It has a user name or password before the host.
    Credentials,
    /// The host is empty, or not a name of letters, digits, hyphens and underscores.
    Host,
    /// The host looks like an IP address but is not one, or is not in its standard form.
    Address,
    /// The port is not a number from 1 to 65535 without leading zeros.
    Port,
    /// It has a fragment.
    Fragment,
    /// It has a character that a URL must percent-encode, or a `%` without two hexadecimal digits.
    Character,
    /// The path has a segment `.` or `..`.
    DotSegment,
}

impl fmt::Display for CallbackUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "must have at most 2048 bytes",
            Self::Scheme => "must be an absolute URL with the scheme http or https",
            Self::Credentials => "must not have a user name or password",
            Self::Host => "must have a host name in ASCII without a trailing dot, or an IP address",
            Self::Address => {
                "must give an IP address in its standard form: 192.0.2.1, or IPv6 as in RFC 5952"
            }
            Self::Port => "must have a port from 1 to 65535 or none",
            Self::Fragment => "must not have a fragment",
            Self::Character => {
                "must percent-encode characters outside those of RFC 3986, and apostrophes in the query"
            }
            Self::DotSegment => "must not have a path segment . or ..",
        })
    }
}

impl core::error::Error for CallbackUrlError {}

#[cfg(test)]
mod tests;
