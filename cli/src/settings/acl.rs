//! Flags of the authorization service as a worker calls it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chargegate_storage::Effects;
use chargegate_worker::{
    AclClientError, AclClientIdentity, AclClientSettings, AclCredential, AclFile, AclProfile, AclTlsFiles,
    AclUrl, HttpAuthorizer, SystemResolver,
};
use http::HeaderName;
use tracing::warn;

use super::SettingError;

/// Size limit of a profile; a larger file is something else.
const MAX_PROFILE_BYTES: u64 = 64 * 1024;
/// Limit of concurrent look-ups of the service's name. They have their own limit, because callbacks look up names
/// that clients choose.
const MAX_DNS_LOOKUPS: usize = 8;

/// Flags of the authorization service as a worker calls it.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[expect(clippy::struct_field_names, reason = "the fields are named like their flags")]
pub(crate) struct AclClientArgs {
    /// Shape of the authorization service: a built-in profile (chargegate, ocpi-2.2.1) or a TOML file
    #[arg(long, env = "CHARGEGATE_ACL_PROFILE", value_name = "PROFILE", default_value = "chargegate")]
    acl_profile: String,
    /// File in PEM with the only certificate authorities that may vouch for the authorization service [default: those
    /// of the machine]
    #[arg(long, env = "CHARGEGATE_ACL_CA_FILE", value_name = "PATH")]
    acl_ca_file: Option<PathBuf>,
    /// File in PEM with the client certificate and its chain for the authorization service
    #[arg(
        long,
        env = "CHARGEGATE_ACL_CLIENT_CERT_FILE",
        value_name = "PATH",
        requires = "acl_client_key_file"
    )]
    acl_client_cert_file: Option<PathBuf>,
    /// File in PEM with the private key of the client certificate
    #[arg(
        long,
        env = "CHARGEGATE_ACL_CLIENT_KEY_FILE",
        value_name = "PATH",
        requires = "acl_client_cert_file"
    )]
    acl_client_key_file: Option<PathBuf>,
    /// File with the bearer token or API key that the authorization service requires; read again when it changes
    #[arg(long, env = "CHARGEGATE_ACL_TOKEN_FILE", value_name = "PATH")]
    acl_token_file: Option<PathBuf>,
    /// Header that carries the token: authorization for `Bearer TOKEN`, another for the token alone [default: that of
    /// the profile, usually authorization]
    #[arg(long, env = "CHARGEGATE_ACL_TOKEN_HEADER", value_name = "NAME", requires = "acl_token_file")]
    acl_token_header: Option<HeaderName>,
}

impl AclClientArgs {
    /// Reads the files and returns a client of the service at `url` that keeps up to `connections` connections.
    ///
    /// # Errors
    /// [`SettingError`]: a file is unusable, or a setting does not fit the others.
    pub(crate) async fn open(
        &self,
        url: AclUrl,
        connections: usize,
        effects: Effects,
    ) -> Result<HttpAuthorizer, SettingError> {
        let tls = self.tls_files();
        if !url.is_https() && (tls.ca.is_some() || tls.client.is_some()) {
            return Err(SettingError::AclTlsWithoutHttps);
        }
        let credential = self.acl_token_file.clone();
        let credential = credential.map(|file| AclCredential { file, header: self.acl_token_header.clone() });
        if !url.is_https() && credential.is_some() {
            warn!("--acl-token-file: the token is sent in clear text, as the URL of --acl-url is not https");
        }
        let profile = self.profile()?;
        let settings = AclClientSettings { url, profile, credential, tls, connections };
        let resolver = Arc::new(SystemResolver::new(MAX_DNS_LOOKUPS));
        HttpAuthorizer::open(settings, resolver, effects)
            .await
            .map_err(|error| SettingError::AclClient { setting: setting_of(&error), source: error })
    }

    fn tls_files(&self) -> AclTlsFiles {
        let client = match (&self.acl_client_cert_file, &self.acl_client_key_file) {
            (Some(certificate), Some(key)) => {
                Some(AclClientIdentity { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        AclTlsFiles { ca: self.acl_ca_file.clone(), client }
    }

    fn profile(&self) -> Result<AclProfile, SettingError> {
        if let Some(profile) = AclProfile::built_in(&self.acl_profile) {
            return Ok(profile);
        }
        let path = Path::new(&self.acl_profile);
        let unreadable = |source| SettingError::AclProfileFile { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let read = file.take(MAX_PROFILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if u64::try_from(read).is_ok_and(|read| read > MAX_PROFILE_BYTES) {
            return Err(unreadable(std::io::Error::other("larger than 64 KiB")));
        }
        AclProfile::parse(&text).map_err(|source| SettingError::AclProfile { path: path.to_owned(), source })
    }
}

/// Returns the setting behind an error.
fn setting_of(error: &AclClientError) -> &'static str {
    match error {
        AclClientError::File(error) => match error.file {
            AclFile::Ca => "--acl-ca-file or CHARGEGATE_ACL_CA_FILE",
            AclFile::ClientCertificate => "--acl-client-cert-file or CHARGEGATE_ACL_CLIENT_CERT_FILE",
            AclFile::ClientKey => "--acl-client-key-file or CHARGEGATE_ACL_CLIENT_KEY_FILE",
            AclFile::Credential => "--acl-token-file or CHARGEGATE_ACL_TOKEN_FILE",
        },
        AclClientError::NoAuthorities => {
            "--acl-url is https; name the authorities with --acl-ca-file or CHARGEGATE_ACL_CA_FILE"
        }
        AclClientError::Tls(_) | AclClientError::Client(_) => "--acl-url or CHARGEGATE_ACL_URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_built_in_profile() {
        use clap::{Args as _, Command};

        let command = AclClientArgs::augment_args(Command::new("program"));
        let arg = command.get_arguments().find(|arg| arg.get_id() == "acl_profile").unwrap();
        let help = arg.get_help().unwrap().to_string();
        assert!(help.contains(&format!("({})", AclProfile::BUILT_IN.join(", "))), "{help}");
    }
}
