//! The edge of `chargegate up`: in this process, or elsewhere in front of the same queue.

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use chargegate_host::{Drain, Host, Settings};
use chargegate_storage::queue::Producer;
use http::Uri;
use tokio::net::TcpListener;
use tracing::warn;

use super::UpCommandError;
use super::args::UpArgs;
use crate::serve::listen;

/// Base URL of an edge that runs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExternalEdgeUrl(Box<str>);

impl FromStr for ExternalEdgeUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri = text.parse::<Uri>().ok();
        let whole = uri.filter(|uri| {
            let plain = uri.path() == "/" && uri.query().is_none() && !text.contains(['@', '#']);
            matches!(uri.scheme_str(), Some("http" | "https")) && plain
        });
        match whole {
            Some(_) => Ok(Self(text.trim_end_matches('/').into())),
            None => Err("write the edge's URL without a path, like http://127.0.0.1:3000"),
        }
    }
}

/// An edge whose settings are checked and whose address is bound.
pub(super) enum PreparedEdge {
    /// An edge in this process, on this listener.
    Local(Box<Settings>, TcpListener),
    /// An edge that somebody else runs.
    External(ExternalEdgeUrl),
}

/// An edge that is ready to serve.
pub(super) enum LoadedEdge {
    /// See [`PreparedEdge::Local`].
    Local(Box<Host>, TcpListener),
    /// See [`PreparedEdge::External`].
    External,
}

impl PreparedEdge {
    /// Checks the settings and binds the address of an edge in this process.
    ///
    /// # Errors
    /// A setting is unusable, or the address cannot be bound.
    pub(super) async fn prepare(args: &UpArgs, callback_allow: String) -> Result<Self, UpCommandError> {
        if let Some(url) = &args.external_edge {
            return Ok(Self::External(url.clone()));
        }
        let mut settings = args.edge.host(callback_allow, &args.data_dir).await?;
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
            Self::External(url) => Ok(url.0.to_string()),
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
                let load = tokio::task::spawn_blocking(move || Host::load(*settings));
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
                if let Drain::Cut { connections } = host.serve(listener, queue, end).await {
                    warn!(connections, "closed connections whose requests did not finish in time");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_elsewhere_is_named_by_its_origin() {
        for text in ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", "https://edge.example"] {
            let ExternalEdgeUrl(url) = text.parse().unwrap();
            assert_eq!(*url, *text.trim_end_matches('/'));
        }
        for text in [
            "",
            "127.0.0.1:3000",
            "http://h/v1",
            "http://h?x=1",
            "http://h#f",
            "https://user:secret@h",
            "ftp://h",
            "/",
        ] {
            assert!(text.parse::<ExternalEdgeUrl>().is_err(), "{text}");
        }
    }
}
