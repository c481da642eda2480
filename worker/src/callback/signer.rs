//! The keys and the secret of callbacks in their files, which are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chargegate_core::{RequestId, UnixMillis};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::signature::{CallbackKeyError, CallbackKeys, CallbackSecret, signature_lines};
use crate::authorizer::{AclFileFault, FileStamp, is_exposed, read_bounded};

/// Most bytes of a file; two keys have about 400.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// Signs callbacks with the keys and the secret of two optional files.
#[derive(Debug, Default)]
pub struct CallbackSigner {
    keys: Option<KeyFile<CallbackKeys>>,
    secret: Option<KeyFile<CallbackSecret>>,
}

/// A file with its last usable content.
#[derive(Debug)]
struct KeyFile<T> {
    path: PathBuf,
    loaded: Mutex<(Option<FileStamp>, Arc<T>)>,
}

/// A file of keys or of a secret that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct CallbackKeyFileError {
    /// Path of the file.
    pub path: PathBuf,
    /// Reason.
    pub fault: CallbackKeyFileFault,
}

/// The reason why a file of keys or of a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CallbackKeyFileFault {
    /// It cannot be read, or is too large.
    #[error(transparent)]
    File(#[from] AclFileFault),
    /// Other users may read it.
    #[error("may be read by other users: `chmod 600` it")]
    Exposed,
    /// Its content is unusable.
    #[error(transparent)]
    Content(#[from] CallbackKeyError),
}

impl CallbackSigner {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`CallbackKeyFileError`].
    pub async fn open(keys: Option<&Path>, secret: Option<&Path>) -> Result<Self, CallbackKeyFileError> {
        let keys = match keys {
            Some(path) => Some(KeyFile::open(path, CallbackKeys::parse).await?),
            None => None,
        };
        let secret = match secret {
            Some(path) => Some(KeyFile::open(path, CallbackSecret::parse).await?),
            None => None,
        };
        Ok(Self { keys, secret })
    }

    /// Reads the files that have changed. An unusable one leaves the keys as they are.
    pub(super) async fn refresh(&self) {
        if let Some(file) = &self.keys {
            file.refresh(CallbackKeys::parse).await;
        }
        if let Some(file) = &self.secret {
            file.refresh(CallbackSecret::parse).await;
        }
    }

    /// Returns the header lines that sign an attempt at the time `at`.
    pub(super) fn lines(&self, id: &RequestId, at: UnixMillis, body: &str) -> String {
        let keys = self.keys.as_ref().map(KeyFile::current);
        let secret = self.secret.as_ref().map(KeyFile::current);
        signature_lines(keys.as_deref(), secret.as_deref(), id, at, body)
    }

    /// Returns the public halves of the keys as a JSON Web Key Set, if there are any.
    #[must_use]
    pub fn public_keys(&self) -> Option<String> {
        Some(self.keys.as_ref()?.current().public_text())
    }
}

impl<T> KeyFile<T> {
    async fn open(
        path: &Path,
        parse: fn(&str) -> Result<T, CallbackKeyError>,
    ) -> Result<Self, CallbackKeyFileError> {
        let stamp = FileStamp::read(path).await;
        let content =
            read(path, parse).await.map_err(|fault| CallbackKeyFileError { path: path.to_owned(), fault })?;
        Ok(Self { path: path.to_owned(), loaded: Mutex::new((stamp, Arc::new(content))) })
    }

    fn current(&self) -> Arc<T> {
        Arc::clone(&self.loaded.lock().1)
    }

    async fn refresh(&self, parse: fn(&str) -> Result<T, CallbackKeyError>) {
        let stamp = FileStamp::read(&self.path).await;
        if stamp.is_none() || stamp == self.loaded.lock().0 {
            return;
        }
        match read(&self.path, parse).await {
            Ok(content) => {
                info!(path = %self.path.display(), "read the changed keys of callbacks");
                *self.loaded.lock() = (stamp, Arc::new(content));
            }
            Err(fault) => {
                warn!(path = %self.path.display(), %fault, "the changed keys of callbacks are unusable; signing with the earlier ones");
                self.loaded.lock().0 = stamp;
            }
        }
    }
}

async fn read<T>(
    path: &Path,
    parse: fn(&str) -> Result<T, CallbackKeyError>,
) -> Result<T, CallbackKeyFileFault> {
    if is_exposed(path) {
        return Err(CallbackKeyFileFault::Exposed);
    }
    let bytes = read_bounded(path, MAX_KEY_FILE).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| CallbackKeyError::Malformed)?;
    Ok(parse(text)?)
}

#[cfg(test)]
mod tests;
