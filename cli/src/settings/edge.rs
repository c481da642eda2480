//! Flags of the edge.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chargegate_host::HostSettings;
use chargegate_worker::{CallbackKeyError, CallbackKeys};

use super::{CallbackDestinationArgs, SettingError};
use crate::duration;

/// The longest time that the edge component accepts for [`EdgeHostArgs::enqueue_timeout`].
const MAX_ENQUEUE_TIMEOUT: Duration = Duration::from_mins(1);

/// Flags of an edge in this process.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct EdgeHostArgs {
    /// Address that clients send requests to
    #[arg(long, env = "CHARGEGATE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// WASM component of the edge [default: the output of `cargo xtask edge`]
    #[arg(long, env = "CHARGEGATE_EDGE_COMPONENT", value_name = "PATH")]
    edge_component: Option<PathBuf>,
    /// Time limit for the queue to confirm a message; after it the request is answered 503
    #[arg(long, env = "CHARGEGATE_ENQUEUE_TIMEOUT", value_name = "TIME", default_value = "2s", value_parser = duration::parse_positive)]
    enqueue_timeout: Duration,
    /// Public keys of callbacks, which the edge serves: the output of `chargegate keys show` [default of `up`: those of
    /// --callback-key-file]
    #[arg(long, env = "CHARGEGATE_JWKS", value_name = "JSON", value_parser = public_keys)]
    jwks: Option<String>,
}

impl EdgeHostArgs {
    /// Reads the component and returns the settings of its host, which caches compiled code in `folder`. It serves
    /// `public_keys` by default.
    ///
    /// # Errors
    /// [`SettingError`]: a setting is unusable, or the component cannot be read.
    pub(crate) async fn host(
        &self,
        destinations: &CallbackDestinationArgs,
        public_keys: Option<String>,
        folder: &Path,
    ) -> Result<HostSettings, SettingError> {
        if self.enqueue_timeout > MAX_ENQUEUE_TIMEOUT {
            return Err(SettingError::EnqueueTimeout);
        }
        let path = self.edge_component.clone().unwrap_or_else(built_component);
        let component = tokio::fs::read(&path).await;
        let mut settings =
            HostSettings::new(component.map_err(|source| SettingError::Component { path, source })?);
        settings.variables = destinations.variables().collect();
        let enqueue_timeout = self.enqueue_timeout.as_millis().to_string();
        settings.variables.push(("CHARGEGATE_ENQUEUE_TIMEOUT_MS".to_owned(), enqueue_timeout));
        if let Some(keys) = self.jwks.clone().or(public_keys) {
            settings.variables.push(("CHARGEGATE_JWKS".to_owned(), keys));
        }
        settings.cache = Some(std::path::absolute(folder.join("compiled")).map_err(SettingError::DataDir)?);
        // The component's own time limit expires first, so that its answer names the reason.
        settings.limits.request_timeout = settings.limits.request_timeout.max(self.enqueue_timeout * 2);
        Ok(settings)
    }
}

/// Returns the text of a set of public keys.
fn public_keys(text: &str) -> Result<String, CallbackKeyError> {
    CallbackKeys::check_public(text).map(|()| text.to_owned())
}

/// Returns the path of the built component: beside the folder of this program's profile.
fn built_component() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(|profile| profile.parent()).unwrap_or(&program);
    target.join("wasm32-wasip2").join("edge").join("chargegate_edge.wasm")
}
