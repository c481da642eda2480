//! Read-only access for operators, with or without an engine that has the file open.

mod actions;
mod callbacks;
mod decisions;
mod hosts;
mod ledger;
mod poison;

#[cfg(test)]
pub(crate) use self::callbacks::page_query;

use std::path::Path;

use sqlx::SqlitePool;

use super::open;
use super::open_error::SqliteOpenError;

/// Read-only access to a data folder.
#[derive(Clone, Debug)]
pub struct SqliteInspector {
    readers: SqlitePool,
}

impl SqliteInspector {
    /// Opens a data folder for reading, without its lock: an engine may have the folder open, or open it later.
    ///
    /// # Errors
    /// [`SqliteOpenError`] if the folder has no chargegate database, or it cannot be read.
    pub async fn open(data_dir: &Path) -> Result<Self, SqliteOpenError> {
        open::open_readers(data_dir).await.map(Self::new)
    }

    pub(super) fn new(readers: SqlitePool) -> Self {
        Self { readers }
    }
}
