//! The state that all workers of a store share to protect the authorization service.

use async_trait::async_trait;
use chargegate_core::{AclFleet, UnixMillis};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::StoreError;

/// The version of the stored text.
const FORMAT: u32 = 1;

/// A stored state, and the time at which it was read.
#[derive(Clone, Debug)]
pub struct StoredFleet {
    /// Changes with each write.
    pub version: u64,
    /// The text of [`encode_fleet`]; empty before the first write.
    pub text: String,
    /// The time by the clock of the store, which all workers share.
    pub now: UnixMillis,
}

/// The place of the shared state.
#[async_trait]
pub trait FleetStore: Send + Sync {
    /// Reads the state.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load_fleet(&self) -> Result<StoredFleet, StoreError>;

    /// Writes the state if its version is still `version`, and returns whether it did.
    ///
    /// # Errors
    /// [`StoreError`]; the state may have been written.
    async fn replace_fleet(&self, version: u64, text: &str) -> Result<bool, StoreError>;
}

#[derive(Serialize)]
struct EncodedFleet<'a> {
    format: u32,
    fleet: &'a AclFleet,
}

#[derive(Deserialize)]
struct FleetFormat {
    format: u32,
}

#[derive(Deserialize)]
struct DecodedFleet {
    fleet: AclFleet,
}

/// Encodes a state as JSON.
///
/// # Errors
/// [`StoreError::Unreadable`]; no state of a fleet is known that cannot be encoded.
pub fn encode_fleet(fleet: &AclFleet) -> Result<String, StoreError> {
    serde_json::to_string(&EncodedFleet { format: FORMAT, fleet })
        .map_err(|_| StoreError::Unreadable("a call budget that cannot be encoded"))
}

/// Decodes a stored state.
///
/// # Errors
/// [`StoreError::Unreadable`]: another version of the program wrote it. Its workers hold shares that this one cannot know.
pub fn decode_fleet(text: &str) -> Result<AclFleet, StoreError> {
    const OTHER: StoreError = StoreError::Unreadable("the call budget of another version of chargegate");
    let FleetFormat { format } = serde_json::from_str(text).map_err(|_| OTHER)?;
    if format != FORMAT {
        return Err(OTHER);
    }
    serde_json::from_str::<DecodedFleet>(text).map(|decoded| decoded.fleet).map_err(|_| OTHER)
}

/// The state of a worker that has its store to itself, kept in memory.
#[derive(Debug)]
pub struct LocalFleet {
    started: Instant,
    state: Mutex<(u64, String)>,
}

impl LocalFleet {
    /// Creates an empty state.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), state: Mutex::default() }
    }
}

impl Default for LocalFleet {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl FleetStore for LocalFleet {
    async fn load_fleet(&self) -> Result<StoredFleet, StoreError> {
        let (version, text) = self.state.lock().clone();
        Ok(StoredFleet { version, text, now: UnixMillis::default().plus(self.started.elapsed()) })
    }

    async fn replace_fleet(&self, version: u64, text: &str) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let is_current = state.0 == version;
        if is_current {
            *state = (version.wrapping_add(1), text.to_owned());
        }
        Ok(is_current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_state_is_replaced_only_by_a_writer_that_read_it() {
        let store = LocalFleet::new();
        let StoredFleet { version, text, now } = store.load_fleet().await.unwrap();
        assert_eq!((text.as_str(), now), ("", UnixMillis(0)));
        let fleet = AclFleet::new(now);
        let text = encode_fleet(&fleet).unwrap();
        assert!(store.replace_fleet(version, &text).await.unwrap());
        assert!(!store.replace_fleet(version, "another").await.unwrap());
        assert_eq!(decode_fleet(&store.load_fleet().await.unwrap().text).unwrap(), fleet);
    }

    #[test]
    fn a_state_of_another_format_is_not_read() {
        let text = encode_fleet(&AclFleet::new(UnixMillis(0))).unwrap();
        assert!(decode_fleet(&text).is_ok());
        for other in [text.replacen(r#""format":1"#, r#""format":2"#, 1), "{}".to_owned(), String::new()] {
            assert!(matches!(decode_fleet(&other), Err(StoreError::Unreadable(_))), "{other}");
        }
    }
}
