//! The order of events across the fakes.

use std::sync::Arc;

use parking_lot::Mutex;

/// An action of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalEvent {
    /// The store recorded the outcome of this message.
    Recorded(String),
    /// The queue deleted this message.
    Acknowledged(String),
    /// This message was released.
    Released(String),
}

/// The events so far, in order.
#[derive(Clone, Debug, Default)]
pub struct EventJournal(Arc<Mutex<Vec<JournalEvent>>>);

impl EventJournal {
    /// Adds an event.
    pub fn note(&self, event: JournalEvent) {
        self.0.lock().push(event);
    }

    /// Returns the events so far, in order.
    pub fn events(&self) -> Vec<JournalEvent> {
        self.0.lock().clone()
    }

    /// Fails when a message was acknowledged before it was recorded.
    #[track_caller]
    pub fn assert_recorded_before_acknowledged(&self) {
        let mut recorded = std::collections::HashSet::new();
        for event in self.events() {
            match event {
                JournalEvent::Recorded(key) => {
                    recorded.insert(key);
                }
                JournalEvent::Acknowledged(key) => assert!(recorded.contains(&key), "{key} was not recorded"),
                JournalEvent::Released(_) => {}
            }
        }
    }
}
