//! Flags of `chargegate up`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use chargegate_worker::AclUrl;

use super::edge_url::ExternalEdgeUrl;
use crate::acl::AclDelay;
use crate::engines::{
    FolderTuning, QueueConnector, StoreConnector, StoreTuning, queue_connector, store_connector,
};
use crate::log;
use crate::operators::OpsTokenArgs;
use crate::settings::{
    AclClientArgs, CallbackClientArgs, CallbackDestinationArgs, DatabaseArgs, EdgeHostArgs, OpsArgs,
    QueueArgs, QueueLimitArgs, SettingError, WorkerTuningArgs, count,
};

/// Networks that `--demo` may call back besides public addresses.
const LOOPBACK_NETWORKS: &str = "127.0.0.0/8,::1";

/// Run everything in one process: edge and worker, with queue and store in a data folder
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Also run the reference authorization service with sample tokens and a sink that prints callbacks, and allow
    /// callbacks to loopback addresses
    #[arg(long, env = "CHARGEGATE_DEMO", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) demo: bool,
    #[command(flatten)]
    pub(super) edge: EdgeHostArgs,
    /// URL of an edge that runs elsewhere in front of the same queue, on Workers or Spin; then no edge is started here
    #[arg(
        long,
        env = "CHARGEGATE_EXTERNAL_EDGE",
        value_name = "URL",
        conflicts_with_all = ["listen", "edge_component", "enqueue_timeout", "jwks"]
    )]
    pub(super) external_edge: Option<ExternalEdgeUrl>,
    #[command(flatten)]
    pub(super) ops: OpsArgs,
    #[command(flatten)]
    pub(super) ops_token: OpsTokenArgs,
    /// Address of the demo's authorization service
    #[arg(long, env = "CHARGEGATE_ACL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    pub(super) acl_listen: SocketAddr,
    /// Address of the demo's callback sink
    #[arg(long, env = "CHARGEGATE_SINK_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3003")]
    pub(super) sink_listen: SocketAddr,
    /// Data folder; locked while in use
    #[arg(long, env = "CHARGEGATE_DATA_DIR", value_name = "PATH", default_value = ".chargegate")]
    pub(super) data_dir: PathBuf,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    limit: QueueLimitArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Maximum number of database connections
    #[arg(long, env = "CHARGEGATE_DATABASE_CONNECTIONS", value_name = "SESSIONS", default_value = "8")]
    database_connections: NonZeroU32,
    /// Base URL of the authorization service
    #[arg(long, env = "CHARGEGATE_ACL_URL", value_name = "URL", required_unless_present = "demo")]
    acl_url: Option<String>,
    #[command(flatten)]
    pub(super) acl: AclClientArgs,
    /// Duration of each call to the demo's authorization service, or its median and 99th percentile
    #[arg(long, env = "CHARGEGATE_ACL_DELAY", value_name = "TIME", default_value = "0ms")]
    pub(super) acl_delay: AclDelay,
    /// Maximum number of concurrent calls to the demo's authorization service [default: no limit]
    #[arg(long, env = "CHARGEGATE_ACL_CAPACITY", value_name = "CALLS", value_parser = count::<NonZeroUsize>)]
    pub(super) acl_capacity: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) work: WorkerTuningArgs,
    #[command(flatten)]
    destinations: CallbackDestinationArgs,
    #[command(flatten)]
    pub(super) callback_client: CallbackClientArgs,
    #[command(flatten)]
    pub(crate) log: log::LogArgs,
}

/// Location of queue and store.
pub(super) enum EngineLocation {
    /// The data folder.
    Folder(FolderTuning),
    /// A server for each.
    Servers {
        /// The queue.
        queue: Box<dyn QueueConnector>,
        /// The store.
        store: Box<dyn StoreConnector>,
        /// Settings of the store.
        tuning: StoreTuning,
    },
}

impl UpArgs {
    /// Returns the configured authorization service.
    pub(super) fn acl_url(&self) -> Result<Option<AclUrl>, SettingError> {
        self.acl_url.as_deref().map(str::parse).transpose().map_err(SettingError::AclUrl)
    }

    /// Returns the settings for the destinations of callbacks.
    pub(super) fn destinations(&self) -> CallbackDestinationArgs {
        let mut destinations = self.destinations.clone();
        if self.demo {
            destinations.allow(LOOPBACK_NETWORKS);
        }
        destinations
    }

    /// Returns the location of queue and store: servers if both URLs are set, the data folder if neither is.
    pub(super) fn engine_location(&self) -> Result<EngineLocation, SettingError> {
        let callback_lease = self.work.callback_lease();
        match (self.queue.configured_url(), self.database.configured_url()) {
            (None, None) if self.external_edge.is_some() => Err(SettingError::ExternalEdge),
            (None, None) => {
                let depth_limit = self.limit.queue_limit;
                let message_lease = self.work.message_lease();
                Ok(EngineLocation::Folder(FolderTuning { depth_limit, message_lease, callback_lease }))
            }
            (Some(_), Some(_)) => {
                let mut queue = queue_connector(&self.queue)?;
                queue.limit_depth(self.limit.queue_limit);
                queue.tune_for_worker(&self.work);
                let store = store_connector(&self.database)?;
                let connections = self.database_connections;
                let tuning = StoreTuning { connections, callback_lease, retention: self.work.retention };
                Ok(EngineLocation::Servers { queue, store, tuning })
            }
            _ => Err(SettingError::HalfRemote),
        }
    }
}
