//! Ports that callbacks may go to.

use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// A list of ports and ranges of ports, written like `443, 8000-8999`.
///
/// The default is `80, 443, 1024-65535`: below 1024 are the services of systems, such as mail servers, which a request
/// over HTTP can confuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRanges(Vec<RangeInclusive<u16>>);

impl PortRanges {
    /// Returns `true` if `port` is in the list.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl Default for PortRanges {
    fn default() -> Self {
        Self([80..=80, 443..=443, 1024..=u16::MAX].into())
    }
}

impl FromStr for PortRanges {
    type Err = PortRangesError;

    fn from_str(text: &str) -> Result<Self, PortRangesError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let ranges: Vec<_> = entries.map(parse_range).collect::<Result<_, _>>()?;
        if ranges.is_empty() { Err(PortRangesError::Empty) } else { Ok(Self(ranges)) }
    }
}

fn parse_range(entry: &str) -> Result<RangeInclusive<u16>, PortRangesError> {
    let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
    let range = parse_port(first.trim_end())?..=parse_port(last.trim_start())?;
    if range.is_empty() { Err(PortRangesError::Entry) } else { Ok(range) }
}

fn parse_port(digits: &str) -> Result<u16, PortRangesError> {
    let port = if digits.starts_with('+') { None } else { digits.parse().ok() };
    port.filter(|port| *port > 0).ok_or(PortRangesError::Entry)
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.0.iter().enumerate() {
            let separator = if n > 0 { "," } else { "" };
            if range.start() == range.end() {
                write!(f, "{separator}{}", range.start())?;
            } else {
                write!(f, "{separator}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

/// The reason why a text does not parse as [`PortRanges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRangesError {
    /// The list has no entry.
    Empty,
    /// An entry is neither a port nor a range.
    Entry,
}

impl fmt::Display for PortRangesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the list has no entry",
            Self::Entry => "an entry is not a port from 1 to 65535 or a range like 8000-8999",
        })
    }
}

impl core::error::Error for PortRangesError {}
