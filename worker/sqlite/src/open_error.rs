//! The error of opening a data folder.

use std::io;
use std::path::PathBuf;

/// Error of opening a data folder.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// The folder does not exist, or has no database.
    #[error("there is no database in {}", path.display())]
    Missing {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder or its files cannot be created or opened.
    #[error("the data folder {} cannot be used", path.display())]
    Folder {
        /// The data folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another process has locked the folder.
    #[error(
        "the data folder {} is in use by another process",
        path.display()
    )]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The file is not a database of this program.
    #[error("{} is not a chargegate database", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "{} has schema version {found}, and this program knows {known}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: usize,
    },
    /// `SQLite` did not apply a setting that is required for durable writes.
    #[error(
        "{} would not be durable: PRAGMA {pragma} is {found} and must be {expected}",
        path.display()
    )]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// The required value.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// The database failed.
    #[error("the database {} cannot be opened", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}
