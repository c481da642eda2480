//! What this worker holds.

use std::collections::{HashMap, hash_map};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::entry::EntryId;

/// The entries that were read and neither acknowledged nor released since, with their deliveries, by stream.
///
/// What the server counts as pending for this worker and is not among them was lost on the way: its read's answer, or
/// its acknowledgement.
#[derive(Debug)]
pub(super) struct Held(Box<[Mutex<HashMap<EntryId, u32>>]>);

impl Held {
    pub(super) fn new(streams: usize) -> Self {
        Self((0..streams).map(|_| Mutex::default()).collect())
    }

    /// Notes an entry that was read; `false` when it is held already.
    pub(super) fn insert(&self, stream: usize, id: EntryId, deliveries: u32) -> bool {
        let Some(mut held) = self.stream(stream) else { return false };
        match held.entry(id) {
            hash_map::Entry::Vacant(place) => {
                place.insert(deliveries);
                true
            }
            hash_map::Entry::Occupied(_) => false,
        }
    }

    /// Whether an entry is held.
    pub(super) fn contains(&self, stream: usize, id: EntryId) -> bool {
        self.stream(stream).is_some_and(|held| held.contains_key(&id))
    }

    /// How many entries of a stream are held.
    pub(super) fn count(&self, stream: usize) -> usize {
        self.stream(stream).map_or(0, |held| held.len())
    }

    /// How often an entry that is held was delivered.
    pub(super) fn deliveries(&self, stream: usize, id: EntryId) -> Option<u32> {
        self.stream(stream)?.get(&id).copied()
    }

    /// Holds these entries no longer once what it gives is dropped, however that comes.
    pub(super) fn let_go<'a>(&'a self, stream: usize, ids: &'a [EntryId]) -> LetGo<'a> {
        LetGo { held: self, stream, ids }
    }

    fn stream(&self, stream: usize) -> Option<MutexGuard<'_, HashMap<EntryId, u32>>> {
        Some(self.0.get(stream)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See [`Held::let_go`].
pub(super) struct LetGo<'a> {
    held: &'a Held,
    stream: usize,
    ids: &'a [EntryId],
}

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        if let Some(mut held) = self.held.stream(self.stream) {
            for id in self.ids {
                held.remove(id);
            }
        }
    }
}
