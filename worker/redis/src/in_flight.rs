//! Entries leased by this worker.

use std::collections::{HashMap, hash_map};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::entry::EntryId;

/// The entries that were read and neither acknowledged nor released since, by stream.
///
/// What the server counts as pending for this worker and is not among them was lost on the way: its read's answer, or
/// its acknowledgement.
#[derive(Debug)]
pub(super) struct InFlightEntries {
    streams: Box<[Mutex<HashMap<EntryId, InFlightEntry>>]>,
    lease: Duration,
}

/// An entry in our hands.
#[derive(Clone, Copy, Debug)]
struct InFlightEntry {
    deliveries: u32,
    since: Instant,
}

impl InFlightEntries {
    /// Nothing held of so many streams yet. A hold ends with its lease, ours as anybody's.
    pub(super) fn new(streams: usize, lease: Duration) -> Self {
        Self { streams: (0..streams).map(|_| Mutex::default()).collect(), lease }
    }

    /// Notes an entry that was read; `false` when it is held already.
    pub(super) fn insert(&self, stream: usize, id: EntryId, deliveries: u32) -> bool {
        let Some(mut held) = self.stream(stream) else { return false };
        let new = InFlightEntry { deliveries, since: Instant::now() };
        match held.entry(id) {
            hash_map::Entry::Vacant(place) => {
                place.insert(new);
                true
            }
            hash_map::Entry::Occupied(mut place) if self.is_over(place.get()) => {
                place.insert(new);
                true
            }
            hash_map::Entry::Occupied(_) => false,
        }
    }

    /// Returns whether an entry is leased.
    pub(super) fn contains(&self, stream: usize, id: EntryId) -> bool {
        self.stream(stream).is_some_and(|held| held.get(&id).is_some_and(|hold| !self.is_over(hold)))
    }

    fn is_over(&self, hold: &InFlightEntry) -> bool {
        hold.since.elapsed() >= self.lease
    }

    /// Returns the number of leased entries of a stream.
    pub(super) fn count(&self, stream: usize) -> usize {
        self.stream(stream).map_or(0, |held| held.len())
    }

    /// Returns the deliveries of a leased entry.
    pub(super) fn deliveries(&self, stream: usize, id: EntryId) -> Option<u32> {
        Some(self.stream(stream)?.get(&id)?.deliveries)
    }

    /// Holds these entries no longer once what it gives is dropped, however that comes.
    pub(super) fn remove_in_flight(&self, stream: usize, ids: Vec<EntryId>) -> ReleasedEntries<'_> {
        ReleasedEntries { in_flight: self, stream, ids }
    }

    fn stream(&self, stream: usize) -> Option<MutexGuard<'_, HashMap<EntryId, InFlightEntry>>> {
        Some(self.streams.get(stream)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See [`InFlightEntries::let_go`].
pub(super) struct ReleasedEntries<'a> {
    in_flight: &'a InFlightEntries,
    pub(super) stream: usize,
    pub(super) ids: Vec<EntryId>,
}

impl Drop for ReleasedEntries<'_> {
    fn drop(&mut self) {
        if let Some(mut held) = self.in_flight.stream(self.stream) {
            for id in &self.ids {
                held.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_in_flight_until_it_is_removed_or_its_lease_expires() {
        let lease = Duration::from_secs(30);
        let (held, id): (_, EntryId) = (InFlightEntries::new(2, lease), "5-1".parse().unwrap());
        assert!(held.insert(1, id, 3));
        assert!(!held.insert(1, id, 4));
        assert_eq!(held.deliveries(1, id), Some(3));
        assert!(held.contains(1, id) && !held.contains(0, id) && !held.contains(2, id));
        drop(held.remove_in_flight(1, vec![id]));
        assert!(!held.contains(1, id));

        assert!(held.insert(1, id, 4));
        tokio::time::advance(lease).await;
        assert!(!held.contains(1, id));
        assert!(held.insert(1, id, 5));
        assert_eq!((held.count(1), held.deliveries(1, id)), (1, Some(5)));
    }
}
