//! TLS towards receivers.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use crate::authorizer::{AclClientIdentity, AclFileError, load_authorities, load_identity};

/// Files in PEM for TLS towards receivers.
#[derive(Clone, Debug, Default)]
pub struct CallbackTlsFiles {
    /// Authorities that may vouch for receivers, besides the public ones.
    pub ca: Option<PathBuf>,
    /// Certificate that is presented to receivers that ask for one.
    pub client: Option<AclClientIdentity>,
}

/// The reason why TLS towards receivers cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CallbackTlsError {
    /// The library has no usable protocol version.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
    /// A file is unusable.
    #[error(transparent)]
    File(#[from] AclFileError),
}

/// TLS towards receivers.
#[derive(Clone, Debug)]
pub struct CallbackTls(pub(super) Arc<ClientConfig>);

impl CallbackTls {
    /// Trusts the public authorities only.
    ///
    /// # Errors
    /// [`CallbackTlsError::Library`].
    pub fn public() -> Result<Self, CallbackTlsError> {
        configure(public_authorities(), None)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`CallbackTlsError`].
    pub async fn load(files: &CallbackTlsFiles) -> Result<Self, CallbackTlsError> {
        let mut roots = public_authorities();
        if let Some(path) = &files.ca {
            roots = load_authorities(path, roots).await?;
        }
        let identity = match &files.client {
            Some(client) => Some(load_identity(client, &default_provider()).await?),
            None => None,
        };
        configure(roots, identity)
    }
}

fn public_authorities() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

fn configure(roots: RootCertStore, identity: Option<CertifiedKey>) -> Result<CallbackTls, CallbackTlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
    };
    Ok(CallbackTls(Arc::new(config)))
}
