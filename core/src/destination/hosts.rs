//! Hosts that callbacks may go to.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use crate::callback_url::{CallbackHost, is_host_name};

/// A list of hosts, written like `api.client.example, *.client.example, 10.1.2.3`.
///
/// A pattern `*.client.example` stands for the names below `client.example` at any depth, and not for `client.example`
/// itself. A literal address is permitted only if the list has exactly this address. By default every host is permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPatterns(Option<Vec<HostPattern>>);

/// An entry of the list. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    /// The name itself.
    Name(String),
    /// The names below this one.
    Below(String),
    /// The address.
    Address(IpAddr),
}

impl HostPatterns {
    /// Returns `true` if the host is permitted.
    #[must_use]
    pub fn permit(&self, host: CallbackHost<'_>) -> bool {
        self.0.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(host)))
    }
}

impl HostPattern {
    fn matches(&self, host: CallbackHost<'_>) -> bool {
        match (self, host) {
            (Self::Name(name), CallbackHost::Name(host)) => name == host,
            (Self::Below(name), CallbackHost::Name(host)) => {
                // At least one label and its dot precede the name.
                host.strip_suffix(name.as_str()).is_some_and(|labels| labels.ends_with('.'))
            }
            (Self::Address(address), CallbackHost::Address(host)) => *address == host,
            _ => false,
        }
    }
}

impl FromStr for HostPatterns {
    type Err = HostPatternsError;

    fn from_str(text: &str) -> Result<Self, HostPatternsError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let patterns: Vec<_> = entries.map(parse_pattern).collect::<Result<_, _>>()?;
        if patterns.is_empty() { Err(HostPatternsError::Empty) } else { Ok(Self(Some(patterns))) }
    }
}

fn parse_pattern(entry: &str) -> Result<HostPattern, HostPatternsError> {
    let literal = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    if let Ok(address) = literal.parse::<IpAddr>() {
        // No URL has an IPv4-mapped address.
        return Ok(HostPattern::Address(address.to_canonical()));
    }
    let (name, pattern): (_, fn(String) -> HostPattern) = match entry.strip_prefix("*.") {
        Some(name) => (name, HostPattern::Below),
        None => (entry, HostPattern::Name),
    };
    if is_host_name(name) { Ok(pattern(name.to_ascii_lowercase())) } else { Err(HostPatternsError::Entry) }
}

impl fmt::Display for HostPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, pattern) in self.0.iter().flatten().enumerate() {
            f.write_str(if n > 0 { "," } else { "" })?;
            match pattern {
                HostPattern::Name(name) => f.write_str(name)?,
                HostPattern::Below(name) => write!(f, "*.{name}")?,
                HostPattern::Address(address) => address.fmt(f)?,
            }
        }
        Ok(())
    }
}

/// The reason why a text does not parse as [`HostPatterns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPatternsError {
    /// The list has no entry.
    Empty,
    /// An entry is neither a host of a callback URL nor a pattern.
    Entry,
}

impl fmt::Display for HostPatternsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the list has no entry",
            Self::Entry => "an entry is not a host name, an address or a pattern like *.client.example",
        })
    }
}

impl core::error::Error for HostPatternsError {}
