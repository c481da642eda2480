//! TLS towards the authorization service: its authorities and the certificate of this client.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};

use super::files::{AclFile, AclFileError, AclFileFault, FileStamp, read_bounded};
use super::health::AclHealth;
use super::http::AclClientError;

/// Most bytes of a file; the bundle of all public authorities has about 250 KB.
const MAX_PEM_BYTES: u64 = 2 * 1024 * 1024;

const FILES: [AclFile; 3] = [AclFile::Ca, AclFile::ClientCertificate, AclFile::ClientKey];

/// Files in PEM for TLS.
#[derive(Clone, Debug, Default)]
pub struct AclTlsFiles {
    /// The only authorities that may vouch for the service. `None` for those of the machine.
    pub ca: Option<PathBuf>,
    /// Certificate that this client presents.
    pub client: Option<AclClientIdentity>,
}

/// Certificate of a client.
#[derive(Clone, Debug)]
pub struct AclClientIdentity {
    /// Certificate with its chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Source of TLS configurations, which notices replaced files.
#[derive(Debug)]
pub(super) struct TlsSource {
    files: AclTlsFiles,
    provider: Arc<CryptoProvider>,
    /// Authorities of the machine; read once.
    machine_roots: Arc<RootCertStore>,
    stamps: Mutex<Vec<Option<FileStamp>>>,
}

impl TlsSource {
    /// Reads the authorities of the machine if `https` needs them, and the files.
    ///
    /// # Errors
    /// A file is unusable, or there are no authorities.
    pub(super) async fn open(
        files: AclTlsFiles,
        https: bool,
    ) -> Result<(Self, ClientConfig), AclClientError> {
        let mut machine_roots = RootCertStore::empty();
        if https && files.ca.is_none() {
            let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            let found = found.map_err(|_| AclClientError::NoAuthorities)?;
            machine_roots.add_parsable_certificates(found.certs);
            if machine_roots.is_empty() {
                return Err(AclClientError::NoAuthorities);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let source =
            Self { files, provider, machine_roots: Arc::new(machine_roots), stamps: Mutex::default() };
        *source.stamps.lock() = source.read_stamps().await;
        let config = source.load().await?;
        Ok((source, config))
    }

    /// Reads the files again if one has changed. `None` if none has, or if the new ones are unusable.
    pub(super) async fn refresh(&self, health: &AclHealth) -> Option<ClientConfig> {
        let stamps = self.read_stamps().await;
        let unchanged = *self.stamps.lock() == stamps;
        if unchanged {
            // A file that was absent for a while may be back as it was.
            health.files_work(FILES);
            return None;
        }
        match self.load().await {
            Ok(config) => {
                *self.stamps.lock() = stamps;
                health.files_work(FILES);
                Some(config)
            }
            // Certificate and key are replaced one after the other: the next refresh tries again.
            Err(AclClientError::File(error)) => {
                health.file_failed(&error);
                None
            }
            Err(error) => {
                health.tls_failed(&error.to_string());
                None
            }
        }
    }

    async fn read_stamps(&self) -> Vec<Option<FileStamp>> {
        let client = self.files.client.iter().flat_map(|client| [&client.certificate, &client.key]);
        let mut stamps = Vec::new();
        for path in self.files.ca.iter().chain(client) {
            stamps.push(FileStamp::read(path).await);
        }
        stamps
    }

    async fn load(&self) -> Result<ClientConfig, AclClientError> {
        let roots = match &self.files.ca {
            None => Arc::clone(&self.machine_roots),
            Some(path) => Arc::new(load_authorities(path, RootCertStore::empty()).await?),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(AclClientError::Tls)?
            .with_root_certificates(roots);
        Ok(match &self.files.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let identity = load_identity(client, &self.provider).await?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        })
    }
}

/// Adds the authorities of a file.
///
/// # Errors
/// The file is unusable.
pub(crate) async fn load_authorities(
    path: &Path,
    mut roots: RootCertStore,
) -> Result<RootCertStore, AclFileError> {
    let fault = |fault: AclFileFault| fault.of(AclFile::Ca, path);
    for certificate in load_certificates(path).await.map_err(fault)? {
        roots
            .add(certificate)
            .map_err(|error| fault(AclFileFault::UnusableCertificate(error.to_string())))?;
    }
    Ok(roots)
}

/// Reads the certificate and the key of a client.
///
/// # Errors
/// A file is unusable, or the files do not belong together.
pub(crate) async fn load_identity(
    client: &AclClientIdentity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, AclFileError> {
    let in_certificate = |fault: AclFileFault| fault.of(AclFile::ClientCertificate, &client.certificate);
    let in_key = |fault: AclFileFault| fault.of(AclFile::ClientKey, &client.key);
    let chain = load_certificates(&client.certificate).await.map_err(in_certificate)?;
    let key = read_bounded(&client.key, MAX_PEM_BYTES).await.map_err(in_key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
        in_key(match error {
            pem::Error::NoItemsFound => AclFileFault::NoKey,
            _ => AclFileFault::UnusableKey("not in the form of PEM".to_owned()),
        })
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| in_key(AclFileFault::UnusableKey(error.to_string())))?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        // The type of key does not tell its public key.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => Err(in_key(AclFileFault::KeyMismatch)),
        Err(error) => Err(in_certificate(AclFileFault::UnusableCertificate(error.to_string()))),
    }
}

async fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AclFileFault> {
    let bytes = read_bounded(path, MAX_PEM_BYTES).await?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(AclFileFault::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(AclFileFault::UnusableCertificate("not in the form of PEM".to_owned())),
    }
}
