//! Who may charge where.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use chargegate_core::DecisionStatus;
use serde::de::{self, Deserialize, Deserializer};
use uuid::Uuid;

/// What is known about each driver token.
#[derive(Default)]
pub(crate) struct Table {
    entries: HashMap<Box<str>, Entry>,
}

/// What is known about one driver token.
pub(crate) struct Entry {
    pub(crate) access: Access,
    /// From this time on the token is invalid.
    pub(crate) expires: Option<SystemTime>,
}

/// Where a token may charge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    All,
    Stations(HashSet<StationId>),
    Blocked,
    Revoked,
}

impl Table {
    /// How many tokens are listed.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Lists a token.
    ///
    /// # Errors
    /// It is listed already: two entries could contradict each other.
    pub(crate) fn insert(&mut self, token: &str, entry: Entry) -> Result<(), AlreadyListed> {
        match self.entries.insert(token.into(), entry) {
            None => Ok(()),
            Some(_) => Err(AlreadyListed),
        }
    }

    /// Whether the driver may charge at the station at the time `now`.
    pub(crate) fn authorize(&self, station: StationId, token: &str, now: SystemTime) -> DecisionStatus {
        let Some(entry) = self.entries.get(token) else { return DecisionStatus::Unknown };
        if entry.expires.is_some_and(|expires| expires <= now) {
            return DecisionStatus::Invalid;
        }
        match &entry.access {
            Access::All => DecisionStatus::Allowed,
            Access::Stations(stations) if stations.contains(&station) => DecisionStatus::Allowed,
            Access::Stations(_) | Access::Blocked => DecisionStatus::NotAllowed,
            Access::Revoked => DecisionStatus::Invalid,
        }
    }
}

/// A charging station; the case of its letters does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StationId(pub(super) Uuid);

impl StationId {
    /// Reads a UUID.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for StationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| de::Error::custom("a station id is a UUID"))
    }
}

/// A token is listed twice.
#[derive(Debug)]
pub(crate) struct AlreadyListed;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: StationId = StationId(Uuid::from_u128(1));
    const THERE: StationId = StationId(Uuid::from_u128(2));

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn each_row_of_the_rules() {
        let check = |access, expires: Option<u64>, station, expected| {
            let mut table = Table::default();
            table.insert("listed", Entry { access, expires: expires.map(at) }).unwrap();
            assert_eq!(table.authorize(station, "listed", at(100)), expected);
            assert_eq!(table.authorize(station, "unlisted", at(100)), DecisionStatus::Unknown);
        };
        let some = || Access::Stations(HashSet::from([HERE]));
        check(Access::All, None, HERE, DecisionStatus::Allowed);
        check(some(), None, HERE, DecisionStatus::Allowed);
        check(some(), None, THERE, DecisionStatus::NotAllowed);
        check(Access::Stations(HashSet::new()), None, HERE, DecisionStatus::NotAllowed);
        check(Access::Blocked, None, HERE, DecisionStatus::NotAllowed);
        check(Access::Revoked, None, HERE, DecisionStatus::Invalid);
        check(Access::All, Some(101), HERE, DecisionStatus::Allowed);
        check(Access::All, Some(100), HERE, DecisionStatus::Invalid);
        check(Access::Blocked, Some(99), HERE, DecisionStatus::Invalid);
    }
}
