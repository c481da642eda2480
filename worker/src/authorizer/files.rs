//! Files with certificates, keys and credentials, which may be replaced while the process runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::io::AsyncReadExt as _;

/// Purpose of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclFile {
    /// Certificates of the authorities that may vouch for the service.
    Ca,
    /// Certificate of this client, with its chain.
    ClientCertificate,
    /// Private key of this client.
    ClientKey,
    /// Credential that the service requires.
    Credential,
}

impl fmt::Display for AclFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "certificate authorities",
            Self::ClientCertificate => "client certificate",
            Self::ClientKey => "client key",
            Self::Credential => "credential",
        })
    }
}

/// Unusable file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct AclFileError {
    /// Purpose of the file.
    pub file: AclFile,
    /// Path of the file.
    pub path: PathBuf,
    /// Reason.
    pub fault: AclFileFault,
}

/// Reason why a file is unusable. No variant holds any content of the file.
#[derive(Debug, thiserror::Error)]
pub enum AclFileFault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It exceeds the size limit of its purpose.
    #[error("is larger than {0} bytes, so it holds something else")]
    TooLarge(u64),
    /// It has no PEM section with a certificate.
    #[error("contains no certificate in PEM (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// A certificate is malformed.
    #[error("contains an unusable certificate: {0}")]
    UnusableCertificate(String),
    /// It has no PEM section with a private key.
    #[error("contains no private key in PEM (BEGIN PRIVATE KEY), or an encrypted one")]
    NoKey,
    /// The private key is malformed or of an unsupported type.
    #[error("contains an unusable private key: {0}")]
    UnusableKey(String),
    /// The private key is not the one of the certificate.
    #[error("the private key does not belong to the client certificate")]
    KeyMismatch,
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It has characters that no header may have.
    #[error("contains a line break or another character that no HTTP header may have")]
    NotAHeader,
}

impl AclFileFault {
    /// Adds the file.
    pub(super) fn of(self, file: AclFile, path: &Path) -> AclFileError {
        AclFileError { file, path: path.to_owned(), fault: self }
    }
}

/// State of a file, by which a replaced one is noticed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Permission bits, on Unix.
    mode: u32,
}

impl FileStamp {
    /// Reads the state of a file; `None` if it cannot be accessed.
    pub(crate) async fn read(path: &Path) -> Option<Self> {
        let metadata = tokio::fs::metadata(path).await.ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), mode: mode(&metadata) })
    }
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0
}

/// Returns whether other users may read a file. A file of the system's administrator may be read by its group, since this
/// is how Kubernetes gives secrets to a process that is not root; PostgreSQL judges its keys by the same rule.
#[cfg(unix)]
pub(crate) fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    // An absent file is reported by the read that follows.
    std::fs::metadata(path).is_ok_and(|metadata| is_mode_exposed(metadata.mode(), metadata.uid()))
}

#[cfg(unix)]
const fn is_mode_exposed(mode: u32, owner: u32) -> bool {
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    mode & forbidden != 0
}

#[cfg(not(unix))]
pub(crate) fn is_exposed(_: &Path) -> bool {
    false
}

/// Reads a file of at most `max` bytes.
pub(crate) async fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, AclFileFault> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(AclFileFault::Unreadable)?;
    let limit = max.saturating_add(1);
    let read = file.take(limit).read_to_end(&mut bytes).await.map_err(AclFileFault::Unreadable)?;
    if u64::try_from(read).is_ok_and(|read| read > max) {
        Err(AclFileFault::TooLarge(max))
    } else {
        Ok(bytes)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_root_may_be_readable_by_its_group() {
        for (mode, owner, expected) in [
            (0o600, 1000, false),
            (0o400, 0, false),
            (0o640, 0, false),
            (0o440, 0, false),
            (0o640, 1000, true),
            (0o604, 0, true),
            (0o620, 0, true),
            (0o610, 0, true),
        ] {
            assert_eq!(is_mode_exposed(mode, owner), expected, "{mode:o} of {owner}");
        }
    }
}
