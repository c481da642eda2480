//! Read-only view of the database for operators.

mod actions;
mod books;
mod callbacks;
mod decisions;
mod hosts;
mod poison;

use std::num::NonZeroU32;
use std::sync::Arc;

use super::PostgresStore;
use super::open::{self, PostgresOpenError};
use super::sessions::{Purpose, SessionPool};
use super::url::DatabaseUrl;

const INSPECTION_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// Read-only view of a database.
#[derive(Clone, Debug)]
pub struct PostgresInspector {
    pub(super) sessions: Arc<SessionPool>,
}

impl PostgresInspector {
    /// Opens the view.
    ///
    /// # Errors
    /// [`PostgresOpenError`] when the database lacks the schema or cannot be read. A standby can be read.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, PostgresOpenError> {
        open::check_view(url).await?;
        Ok(Self::new(url))
    }

    fn new(url: &DatabaseUrl) -> Self {
        Self { sessions: Arc::new(SessionPool::new(url, Purpose::Inspect, INSPECTION_CONNECTIONS)) }
    }
}

impl PostgresStore {
    /// Returns a read-only view with sessions of its own.
    #[must_use]
    pub fn inspector(&self) -> PostgresInspector {
        PostgresInspector::new(&self.shared.settings.url)
    }
}
