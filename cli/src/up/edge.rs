//! The edge of `chargegate up`: in this process, or elsewhere in front of the same queue.

use std::io;
use std::sync::Arc;

use chargegate_host::{DrainOutcome, EdgeComponentHost, HostSettings};
use chargegate_storage::queue::Producer;
use tokio::net::TcpListener;
use tracing::warn;

use super::UpCommandError;
use super::args::UpArgs;
use super::edge_url::ExternalEdgeUrl;
use crate::serve::listen;
use crate::settings::CallbackDestinationArgs;

/// An edge whose settings are checked and whose address is bound.
pub(super) enum PreparedEdge {
    /// An edge in this process, on this listener.
    Local(Box<HostSettings>, TcpListener),
    /// An edge that somebody else runs.
    External(ExternalEdgeUrl),
}

/// An edge that is ready to serve.
pub(super) enum LoadedEdge {
    /// See [`PreparedEdge::Local`].
    Local(Box<EdgeComponentHost>, TcpListener),
    /// See [`PreparedEdge::External`].
    External,
}

impl PreparedEdge {
    /// Checks the settings and binds the address of an edge in this process.
    ///
    /// # Errors
    /// A setting is unusable, or the address cannot be bound.
    pub(super) async fn prepare(
        args: &UpArgs,
        destinations: &CallbackDestinationArgs,
        public_keys: Option<String>,
    ) -> Result<Self, UpCommandError> {
        if let Some(url) = &args.external_edge {
            return Ok(Self::External(url.clone()));
        }
        let mut settings = args.edge.host(destinations, public_keys, &args.data_dir).await?;
        settings.limits.drain_timeout = settings.limits.drain_timeout.min(args.ops.grace);
        let listener = listen(args.edge.listen, "--listen or CHARGEGATE_LISTEN").await?;
        Ok(Self::Local(Box::new(settings), listener))
    }

    /// Returns the base URL of the edge.
    ///
    /// # Errors
    /// The listener has no address.
    pub(super) fn url(&self) -> io::Result<String> {
        match self {
            Self::Local(_, listener) => Ok(format!("http://{}", listener.local_addr()?)),
            Self::External(url) => Ok(url.to_string()),
        }
    }

    /// Compiles the component.
    ///
    /// # Errors
    /// The component cannot be loaded.
    pub(super) async fn load(self) -> Result<LoadedEdge, UpCommandError> {
        match self {
            Self::External(_) => Ok(LoadedEdge::External),
            Self::Local(settings, listener) => {
                let load = tokio::task::spawn_blocking(move || EdgeComponentHost::load(*settings));
                let host = load.await.map_err(io::Error::other)??;
                Ok(LoadedEdge::Local(Box::new(host), listener))
            }
        }
    }
}

impl LoadedEdge {
    /// Serves until `end`, then finishes the requests in flight.
    pub(super) async fn serve(self, queue: Arc<dyn Producer>, end: impl Future<Output = ()> + Send) {
        match self {
            Self::External => end.await,
            Self::Local(host, listener) => {
                if let DrainOutcome::Cut { connections } = host.serve(listener, queue, end).await {
                    warn!(connections, "closed connections whose requests did not finish in time");
                }
            }
        }
    }
}
