//! The credential that the service requires, from a file that is read again when it changes.

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::files::{AclFile, AclFileError, AclFileFault, FileStamp, read_bounded};
use super::health::AclHealth;
use super::profile::CredentialTemplate;

/// Most bytes of a credential; larger headers are refused by common servers.
const MAX_CREDENTIAL_BYTES: u64 = 16 * 1024;

/// Credential in a file.
#[derive(Clone, Debug)]
pub struct AclCredential {
    /// File whose content, without white space at its ends, is the credential.
    pub file: PathBuf,
    /// Header that carries it: `authorization` for a bearer token, another for the credential alone. `None` for the
    /// form of the profile.
    pub header: Option<HeaderName>,
}

/// Credential with its file.
#[derive(Debug)]
pub(super) struct CredentialFile {
    path: PathBuf,
    template: CredentialTemplate,
    loaded: Mutex<LoadedCredential>,
}

#[derive(Clone, Debug)]
struct LoadedCredential {
    header: HeaderValue,
    stamp: Option<FileStamp>,
}

impl CredentialFile {
    /// Reads the credential for the first time.
    ///
    /// # Errors
    /// The file is unusable.
    pub(super) async fn open(
        settings: AclCredential,
        profile: &CredentialTemplate,
    ) -> Result<Self, AclFileError> {
        let template = match settings.header {
            None => profile.clone(),
            Some(header) if header == http::header::AUTHORIZATION => CredentialTemplate::bearer(),
            Some(header) => CredentialTemplate::api_key(header),
        };
        let path = settings.file;
        let loaded = load(&path, &template).await.map_err(|fault| fault.of(AclFile::Credential, &path))?;
        Ok(Self { path, template, loaded: Mutex::new(loaded) })
    }

    /// Returns the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the header with the last usable credential.
    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        (self.template.header.clone(), self.loaded.lock().header.clone())
    }

    /// Reads the file again if it has changed. An unusable one leaves the credential as it is.
    pub(super) async fn refresh(&self, health: &AclHealth) {
        let stamp = FileStamp::read(&self.path).await;
        let unchanged = stamp.is_some() && stamp == self.loaded.lock().stamp;
        if unchanged {
            // A file that was absent for a while may be back as it was.
            health.files_work([AclFile::Credential]);
        } else {
            self.reload(health).await;
        }
    }

    /// Reads the file again after the service refused `refused`. Returns whether there is another credential now.
    pub(super) async fn replaced(&self, refused: &HeaderValue, health: &AclHealth) -> bool {
        if self.loaded.lock().header == *refused {
            self.reload(health).await;
        }
        self.loaded.lock().header != *refused
    }

    async fn reload(&self, health: &AclHealth) {
        match load(&self.path, &self.template).await {
            Ok(loaded) => {
                *self.loaded.lock() = loaded;
                health.files_work([AclFile::Credential]);
            }
            Err(fault) => health.file_failed(&fault.of(AclFile::Credential, &self.path)),
        }
    }
}

async fn load(path: &Path, template: &CredentialTemplate) -> Result<LoadedCredential, AclFileFault> {
    // Before the content, so that a change between the two is noticed the next time.
    let stamp = FileStamp::read(path).await;
    let bytes = read_bounded(path, MAX_CREDENTIAL_BYTES).await?;
    let credential = str::from_utf8(&bytes).map_err(|_| AclFileFault::NotAHeader)?.trim();
    if credential.is_empty() {
        return Err(AclFileFault::Empty);
    }
    let header = template.value(credential).ok_or(AclFileFault::NotAHeader)?;
    Ok(LoadedCredential { header, stamp })
}
