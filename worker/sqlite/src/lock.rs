//! The data folder and its lock.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::open_error::SqliteOpenError;

/// The lock on a data folder, released when dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// Creates the folder, readable only by its owner, and locks it.
pub(super) fn lock(data_dir: &Path) -> Result<FolderLock, SqliteOpenError> {
    let failed = |source| SqliteOpenError::Folder { path: data_dir.into(), source };
    create_folder(data_dir).map_err(failed)?;
    let file = private_file(&data_dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(SqliteOpenError::InUse { path: data_dir.into() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Opens a file, created if missing, that only its owner may read, since it holds secrets. `SQLite` creates the files
/// beside its database with the same mode.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let file = options.mode(0o600).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}
