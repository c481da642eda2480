//! Flags of the client that delivers callbacks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::DestinationPolicy;
use chargegate_storage::Effects;
use chargegate_worker::{
    AclClientIdentity, CallbackClient, CallbackSigner, CallbackTls, CallbackTlsFiles, DnsResolver,
};

use super::SettingError;

/// Flags of the client that delivers callbacks.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[expect(clippy::struct_field_names, reason = "the fields are named like their flags")]
pub(crate) struct CallbackClientArgs {
    /// DNS servers that look up the names of callback URLs, addresses with or without a port, separated by commas
    /// [default: those of the machine]
    #[arg(
        long,
        env = "CHARGEGATE_CALLBACK_DNS",
        value_name = "ADDRESSES",
        value_delimiter = ',',
        value_parser = dns_server
    )]
    callback_dns: Vec<SocketAddr>,
    /// Maximum number of idle connections to callback receivers
    #[arg(
        long,
        env = "CHARGEGATE_CALLBACK_IDLE_CONNECTIONS",
        value_name = "CONNECTIONS",
        default_value_t = CallbackClient::IDLE_CONNECTIONS
    )]
    callback_idle_connections: usize,
    /// File with the keys that sign callbacks, of `chargegate keys new`; read again when it changes
    #[arg(long, env = "CHARGEGATE_CALLBACK_KEY_FILE", value_name = "PATH")]
    callback_key_file: Option<PathBuf>,
    /// File with a secret that signs callbacks too (`whsec_..`), for deployments with one client; read again when it
    /// changes
    #[arg(long, env = "CHARGEGATE_CALLBACK_SECRET_FILE", value_name = "PATH")]
    callback_secret_file: Option<PathBuf>,
    /// HTTP proxy that all callbacks go through, `http://host:port` or `http://user:password@host:port`, for networks that
    /// have no other way to receivers; the proxy then resolves their names and judges their addresses
    #[arg(long, env = "CHARGEGATE_CALLBACK_PROXY", value_name = "URL", hide_env_values = true)]
    callback_proxy: Option<String>,
    /// File in PEM with certificate authorities that may vouch for callback receivers, besides the public ones
    #[arg(long, env = "CHARGEGATE_CALLBACK_CA_FILE", value_name = "PATH")]
    callback_ca_file: Option<PathBuf>,
    /// File in PEM with the client certificate and its chain for callback receivers that ask for one
    #[arg(
        long,
        env = "CHARGEGATE_CALLBACK_CLIENT_CERT_FILE",
        value_name = "PATH",
        requires = "callback_client_key_file"
    )]
    callback_client_cert_file: Option<PathBuf>,
    /// File in PEM with the private key of the client certificate for callback receivers
    #[arg(
        long,
        env = "CHARGEGATE_CALLBACK_CLIENT_KEY_FILE",
        value_name = "PATH",
        requires = "callback_client_cert_file"
    )]
    callback_client_key_file: Option<PathBuf>,
}

/// Parses the address of a DNS server, whose port is 53 by default.
fn dns_server(text: &str) -> Result<SocketAddr, &'static str> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    address.or_else(|_| text.parse()).map_err(|_| "write an address like 192.0.2.53 or 192.0.2.53:5353")
}

impl CallbackClientArgs {
    /// Reads the keys and the secret.
    ///
    /// # Errors
    /// [`SettingError::CallbackKeys`].
    pub(crate) async fn signer(&self) -> Result<CallbackSigner, SettingError> {
        let (keys, secret) = (self.callback_key_file.as_deref(), self.callback_secret_file.as_deref());
        CallbackSigner::open(keys, secret).await.map_err(SettingError::CallbackKeys)
    }

    /// Creates the client, which calls destinations that `policy` permits and spends at most `timeout` on an attempt.
    ///
    /// # Errors
    /// The system's DNS servers or a file for TLS cannot be read.
    pub(crate) async fn open(
        &self,
        policy: DestinationPolicy,
        timeout: Duration,
        signer: CallbackSigner,
        effects: Effects,
    ) -> Result<CallbackClient, SettingError> {
        let resolver = if self.callback_dns.is_empty() {
            DnsResolver::system()
        } else {
            DnsResolver::with_servers(&self.callback_dns)
        };
        let resolver = Arc::new(resolver.map_err(SettingError::CallbackDns)?);
        let identity = self.callback_client_cert_file.clone().zip(self.callback_client_key_file.clone());
        let files = CallbackTlsFiles {
            ca: self.callback_ca_file.clone(),
            client: identity.map(|(certificate, key)| AclClientIdentity { certificate, key }),
        };
        let tls = CallbackTls::load(&files).await.map_err(SettingError::CallbackTls)?;
        let proxy = self.callback_proxy.as_deref().filter(|url| !url.is_empty()).map(str::parse);
        let proxy = proxy.transpose().map_err(SettingError::CallbackProxy)?;
        let idle = self.callback_idle_connections;
        let client = CallbackClient::new(policy, resolver, timeout, idle, &tls, effects);
        Ok(client.with_signer(signer).with_proxy(proxy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_server_has_the_usual_port_by_default() {
        for (text, expected) in [
            ("192.0.2.53", Some("192.0.2.53:53")),
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("2001:db8::53", Some("[2001:db8::53]:53")),
            ("[2001:db8::53]:5353", Some("[2001:db8::53]:5353")),
            ("dns.example", None),
            ("", None),
        ] {
            assert_eq!(dns_server(text).ok(), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
