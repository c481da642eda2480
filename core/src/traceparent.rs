//! The `traceparent` header of W3C Trace Context.

use core::fmt;

use crate::request_id::{unhex, write_hex};

/// The value of a `traceparent` header of version 00 (W3C Trace Context section 3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Traceparent([u8; 55]);

impl Traceparent {
    /// Creates a new, sampled trace from random bytes. An id of zeros, which the specification forbids, becomes 1.
    #[must_use]
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8]) -> Self {
        let mut text = *b"00-00000000000000000000000000000001-0000000000000001-01";
        let (_, rest) = text.split_at_mut(3);
        let (trace, rest) = rest.split_at_mut(32);
        if trace_id != [0; 16] {
            write_hex(trace, &trace_id);
        }
        if parent_id != [0; 8]
            && let Some(parent) = rest.get_mut(1..17)
        {
            write_hex(parent, &parent_id);
        }
        Self(text)
    }

    /// Parses a header. Returns `None` if it is malformed; the receiver then starts a new trace (section 4.3).
    ///
    /// Of a version above 00 only the first four fields are used (section 3.2.4), and the result has version 00.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(55)?;
        let version = [*head.first()?, *head.get(1)?];
        let lower = |byte: u8| unhex(byte).is_some() && !byte.is_ascii_uppercase();
        let well_formed = head.iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => lower(*byte),
        });
        let tail_fits =
            if version == *b"00" { rest.is_empty() } else { rest.first().is_none_or(|b| *b == b'-') };
        let zero =
            |range: core::ops::Range<usize>| head.get(range).is_none_or(|id| id.iter().all(|b| *b == b'0'));
        if !well_formed || !tail_fits || version == *b"ff" || zero(3..35) || zero(36..52) {
            return None;
        }
        let mut text: [u8; 55] = head.try_into().ok()?;
        [text[0], text[1]] = *b"00";
        Some(Self(text))
    }

    /// Returns the same trace with another parent: the value that a caller sends from its span.
    #[must_use]
    pub fn child(&self, span_id: [u8; 8]) -> Self {
        let mut text = self.0;
        if span_id != [0; 8]
            && let Some(parent) = text.get_mut(36..52)
        {
            write_hex(parent, &span_id);
        }
        Self(text)
    }

    /// Returns the value of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the trace id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.as_str().get(3..35).unwrap_or_default()
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(
            Traceparent::from_header(value.as_bytes()).as_ref().map(Traceparent::as_str),
            expected,
            "{value}"
        );
    }

    #[test]
    fn the_header_is_parsed_as_the_specification_requires() {
        check(SAMPLE, Some(SAMPLE));
        check(&SAMPLE.to_uppercase(), None);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None);
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", None);
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", Some(SAMPLE));
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x", None);
        check("", None);
    }

    #[test]
    fn a_new_trace_parses_to_itself_and_a_child_keeps_the_trace_id() {
        let trace = Traceparent::new([0xab; 16], [0; 8]);
        assert_eq!(Traceparent::from_header(trace.as_str().as_bytes()), Some(trace));
        let child = trace.child([0xcd; 8]);
        assert_eq!(child.as_str(), "00-abababababababababababababababab-cdcdcdcdcdcdcdcd-01");
        assert_eq!(child.trace_id(), trace.trace_id());
    }
}
