//! The order in which things happened across the fakes.

use std::sync::{Arc, Mutex};

/// Something an engine did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalEvent {
    /// The store recorded the outcome of this message.
    Recorded(String),
    /// The queue removed this message.
    Acknowledged(String),
    /// The queue took this message back.
    Released(String),
}

/// What happened so far, in order.
#[derive(Clone, Debug, Default)]
pub struct EventJournal(Arc<Mutex<Vec<JournalEvent>>>);

impl EventJournal {
    pub fn note(&self, event: JournalEvent) {
        self.0.lock().unwrap().push(event);
    }

    pub fn events(&self) -> Vec<JournalEvent> {
        self.0.lock().unwrap().clone()
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
