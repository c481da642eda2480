//! Lease ids: opaque to clients, and about as long as Cloudflare's.

use std::fmt;
use std::str::FromStr;

/// Prefix of Cloudflare's lease ids: the header of an encrypted token.
const HEAD: &str = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2Q0JDLUhTNTEyIn0..";

/// One delivery of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseId {
    origin: u64,
    sequence: u64,
    attempt: u32,
}

/// The text is not a lease id of any queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseIdError;

impl LeaseId {
    pub(crate) fn new(origin: u64, sequence: u64, attempt: u32) -> Self {
        Self { origin, sequence, attempt }
    }

    /// Returns the message if the queue of `origin` issued the lease.
    pub(crate) fn sequence_of(&self, origin: u64) -> Option<u64> {
        (self.origin == origin).then_some(self.sequence)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}{:016x}.{:064x}.{:032x}", self.origin, self.sequence, self.attempt)
    }
}

impl FromStr for LeaseId {
    type Err = LeaseIdError;

    fn from_str(text: &str) -> Result<Self, LeaseIdError> {
        let mut parts = text.strip_prefix(HEAD).ok_or(LeaseIdError)?.split('.');
        let mut part = || parts.next().ok_or(LeaseIdError);
        let (origin, sequence, attempt) = (part()?, part()?, part()?);
        let lease = Self {
            origin: u64::from_str_radix(origin, 16).map_err(|_| LeaseIdError)?,
            sequence: u64::from_str_radix(sequence, 16).map_err(|_| LeaseIdError)?,
            attempt: u32::from_str_radix(attempt, 16).map_err(|_| LeaseIdError)?,
        };
        if lease.to_string() == text { Ok(lease) } else { Err(LeaseIdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_id_parses_only_in_its_exact_form() {
        let lease = LeaseId::new(7, u64::MAX, 3);
        let text = lease.to_string();
        assert_eq!(text.parse(), Ok(lease));
        for wrong in
            ["", "lease", &text[1..], &text[..text.len() - 1], &format!("{text}0"), &format!("{text}.0")]
        {
            assert_eq!(wrong.parse::<LeaseId>(), Err(LeaseIdError), "{wrong}");
        }
    }
}
