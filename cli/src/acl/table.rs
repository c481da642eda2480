//! The driver tokens and where each may charge.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use chargegate_core::DecisionStatus;
use serde::de::{self, Deserialize, Deserializer};
use uuid::Uuid;

/// The listed driver tokens.
#[derive(Default)]
pub(crate) struct AclTable {
    entries: HashMap<Box<str>, AclTokenEntry>,
}

/// The entry of one driver token.
pub(crate) struct AclTokenEntry {
    pub(crate) access: TokenAccess,
    /// The token is invalid from this time on.
    pub(crate) expires: Option<SystemTime>,
}

/// The stations where a token may charge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenAccess {
    All,
    Stations(HashSet<AclStationId>),
    Blocked,
    Revoked,
}

impl AclTable {
    /// Returns the number of listed tokens.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a token.
    ///
    /// # Errors
    /// The token is already listed: two entries could contradict each other.
    pub(crate) fn insert(&mut self, token: &str, entry: AclTokenEntry) -> Result<(), TokenAlreadyListed> {
        match self.entries.insert(token.into(), entry) {
            None => Ok(()),
            Some(_) => Err(TokenAlreadyListed),
        }
    }

    /// Returns the decision for the driver at the station at the time `now`.
    pub(crate) fn authorize(&self, station: AclStationId, token: &str, now: SystemTime) -> DecisionStatus {
        let Some(entry) = self.entries.get(token) else { return DecisionStatus::Unknown };
        if entry.expires.is_some_and(|expires| expires <= now) {
            return DecisionStatus::Invalid;
        }
        match &entry.access {
            TokenAccess::All => DecisionStatus::Allowed,
            TokenAccess::Stations(stations) if stations.contains(&station) => DecisionStatus::Allowed,
            TokenAccess::Stations(_) | TokenAccess::Blocked => DecisionStatus::NotAllowed,
            TokenAccess::Revoked => DecisionStatus::Invalid,
        }
    }
}

/// The id of a charging station, without regard to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AclStationId(pub(super) Uuid);

impl AclStationId {
    /// Parses a UUID.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for AclStationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| de::Error::custom("a station id is a UUID"))
    }
}

/// The token is already listed.
#[derive(Debug)]
pub(crate) struct TokenAlreadyListed;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: AclStationId = AclStationId(Uuid::from_u128(1));
    const THERE: AclStationId = AclStationId(Uuid::from_u128(2));

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn each_kind_of_access_gives_its_status() {
        let check = |access, expires: Option<u64>, station, expected| {
            let mut table = AclTable::default();
            table.insert("listed", AclTokenEntry { access, expires: expires.map(at) }).unwrap();
            assert_eq!(table.authorize(station, "listed", at(100)), expected);
            assert_eq!(table.authorize(station, "unlisted", at(100)), DecisionStatus::Unknown);
        };
        let some = || TokenAccess::Stations(HashSet::from([HERE]));
        check(TokenAccess::All, None, HERE, DecisionStatus::Allowed);
        check(some(), None, HERE, DecisionStatus::Allowed);
        check(some(), None, THERE, DecisionStatus::NotAllowed);
        check(TokenAccess::Stations(HashSet::new()), None, HERE, DecisionStatus::NotAllowed);
        check(TokenAccess::Blocked, None, HERE, DecisionStatus::NotAllowed);
        check(TokenAccess::Revoked, None, HERE, DecisionStatus::Invalid);
        check(TokenAccess::All, Some(101), HERE, DecisionStatus::Allowed);
        check(TokenAccess::All, Some(100), HERE, DecisionStatus::Invalid);
        check(TokenAccess::Blocked, Some(99), HERE, DecisionStatus::Invalid);
    }
}
