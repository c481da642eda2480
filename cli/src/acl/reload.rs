//! Reloading the table when its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::file::AclFileError;
use super::table::AclTable;
use crate::output;

/// Interval at which the file is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The table in use; clones share it.
#[derive(Clone)]
pub(crate) struct CurrentAclTable(Arc<RwLock<Arc<AclTable>>>);

impl CurrentAclTable {
    /// Creates a handle of `table`.
    pub(super) fn new(table: AclTable) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(table))))
    }

    /// Returns the table in use.
    pub(super) fn get(&self) -> Arc<AclTable> {
        Arc::clone(&self.0.read())
    }

    /// Replaces the table; calls that already looked up their token are unaffected.
    fn replace(&self, table: AclTable) {
        *self.0.write() = Arc::new(table);
    }
}

/// A table file and the version of it that was loaded last.
pub(super) struct AclFileWatch {
    path: PathBuf,
    version: Option<FileVersion>,
}

/// Properties by which a change of a file is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    modified: Option<SystemTime>,
    length: u64,
}

impl FileVersion {
    /// Returns the version of the file now, or `None` if it cannot be found.
    async fn of(path: &Path) -> Option<Self> {
        let metadata = tokio::fs::metadata(path).await.ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len() })
    }
}

impl AclFileWatch {
    /// Loads the table of a file and starts to watch it.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub(super) async fn open(path: &Path) -> Result<(Self, AclTable), AclFileError> {
        // Read before the content: a change in between is then detected by the first check.
        let version = FileVersion::of(path).await;
        let table = AclTable::load(path).await?;
        Ok((Self { path: path.to_owned(), version }, table))
    }

    /// Loads the table if the file has changed since the last check.
    ///
    /// # Errors
    /// The changed file cannot be read or parsed; it is tried again when it changes again.
    async fn check(&mut self) -> Result<Option<AclTable>, AclFileError> {
        let version = FileVersion::of(&self.path).await;
        if version == self.version {
            return Ok(None);
        }
        self.version = version;
        AclTable::load(&self.path).await.map(Some)
    }

    /// Replaces `current` at each change of the file, until `stop`. A broken file keeps the table in use.
    pub(super) async fn run(mut self, current: CurrentAclTable, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.check().await {
                Ok(None) => {}
                Ok(Some(table)) => {
                    let (path, tokens) = (self.path.display(), table.len());
                    output::line(format_args!("acl reloaded {path} ({tokens} tokens)"));
                    current.replace(table);
                }
                Err(error) => {
                    output::error_line(format_args!("warning: the table in use is kept: {error}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROW: &str = "[[token]]\ntoken = \"a-token\"\naccess = \"all\"\n";

    #[tokio::test]
    async fn a_changed_file_is_loaded_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, "").unwrap();
        let (mut watch, table) = AclFileWatch::open(&path).await.unwrap();
        assert_eq!(table.len(), 0);
        assert!(watch.check().await.unwrap().is_none());
        fs::write(&path, ROW).unwrap();
        assert_eq!(watch.check().await.unwrap().unwrap().len(), 1);
        assert!(watch.check().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_change_of_the_same_length_is_detected_by_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, ROW).unwrap();
        let (mut watch, _) = AclFileWatch::open(&path).await.unwrap();
        fs::write(&path, ROW.replace("a-token", "b-token")).unwrap();
        // The resolution of the file system's times could hide the change from this test.
        fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(watch.check().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_broken_or_missing_file_is_reported_once_and_recovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, ROW).unwrap();
        let (mut watch, _) = AclFileWatch::open(&path).await.unwrap();
        fs::write(&path, format!("{ROW}access = \"none\"\n")).unwrap();
        let error = watch.check().await.err().unwrap().to_string();
        assert!(error.contains("acl.toml, line 4: "), "{error}");
        assert!(watch.check().await.unwrap().is_none());
        fs::remove_file(&path).unwrap();
        assert!(matches!(watch.check().await, Err(AclFileError::Unreadable { .. })));
        assert!(watch.check().await.unwrap().is_none());
        fs::write(&path, ROW).unwrap();
        assert_eq!(watch.check().await.unwrap().unwrap().len(), 1);
    }
}
