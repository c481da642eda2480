//! What operators may read, with or without an engine that has the file open.

mod decisions;
mod ledger;

use std::path::Path;

use sqlx::SqlitePool;

use super::open::{self, SqliteOpenError};

/// A view of a data folder that cannot change it.
#[derive(Clone, Debug)]
pub struct SqliteInspector {
    readers: SqlitePool,
}

impl SqliteInspector {
    /// Opens the view of a folder. It takes no lock: an engine may have the folder open, or open it later.
    ///
    /// # Errors
    /// [`SqliteOpenError`] when there is no database of ours, or it cannot be read.
    pub async fn open(data_dir: &Path) -> Result<Self, SqliteOpenError> {
        open::open_readers(data_dir).await.map(Self::new)
    }

    pub(super) fn new(readers: SqlitePool) -> Self {
        Self { readers }
    }
}
