//! What operators may read of a database, beside any number of workers.

mod books;
mod decisions;

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Engine;
use super::open::{self, OpenError};
use super::sessions::{Purpose, Sessions};
use super::url::DatabaseUrl;

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// A view of a database that cannot change it.
#[derive(Clone, Debug)]
pub struct Inspector {
    pub(super) sessions: Arc<Sessions>,
}

impl Inspector {
    /// Opens the view.
    ///
    /// # Errors
    /// [`OpenError`] when there is no database of ours, or it cannot be read. A standby can.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        open::check_view(url).await?;
        Ok(Self::new(url))
    }

    fn new(url: &DatabaseUrl) -> Self {
        Self { sessions: Arc::new(Sessions::new(url, Purpose::Look, TWO)) }
    }
}

impl Engine {
    /// What operators may read of this database, over sessions of their own.
    #[must_use]
    pub fn inspector(&self) -> Inspector {
        Inspector::new(&self.shared.settings.url)
    }
}
