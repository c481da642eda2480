//! What `chargegate up` is told.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use chargegate_postgres as postgres;
use chargegate_sqlite as sqlite;
use chargegate_worker::AclUrl;

use super::edge::ExternalEdgeUrl;
use crate::settings::{
    CallbackAddressArgs, DatabaseArgs, EdgeHostArgs, OpsArgs, QueueArgs, QueueLimitArgs, RemoteQueueSettings,
    SettingError, WorkerTuningArgs, count,
};
use crate::{duration, log};

/// What `--demo` may call back besides public addresses.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// Run everything in one process: edge, worker, and queue and store in a data folder
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Also run the reference authorization service with sample tokens and a sink that shows callbacks, and permit
    /// callbacks to loopback
    #[arg(long, env = "CHARGEGATE_DEMO", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) demo: bool,
    #[command(flatten)]
    pub(super) edge: EdgeHostArgs,
    /// The URL of an edge that runs elsewhere before the same queue, on Workers or Spin; none is started here then
    #[arg(
        long,
        env = "CHARGEGATE_EXTERNAL_EDGE",
        value_name = "URL",
        conflicts_with_all = ["listen", "edge_component", "enqueue_timeout"]
    )]
    pub(super) external_edge: Option<ExternalEdgeUrl>,
    #[command(flatten)]
    pub(super) ops: OpsArgs,
    /// The address of the demo's authorization service
    #[arg(long, env = "CHARGEGATE_ACL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    pub(super) acl_listen: SocketAddr,
    /// The address of the demo's callback sink
    #[arg(long, env = "CHARGEGATE_SINK_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3003")]
    pub(super) sink_listen: SocketAddr,
    /// Where everything is kept; locked while in use
    #[arg(long, env = "CHARGEGATE_DATA_DIR", value_name = "PATH", default_value = ".chargegate")]
    pub(super) data_dir: PathBuf,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    limit: QueueLimitArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Sessions with the database at most
    #[arg(long, env = "CHARGEGATE_DATABASE_CONNECTIONS", value_name = "SESSIONS", default_value = "8")]
    database_connections: NonZeroU32,
    /// The base URL of the authorization service, http only
    #[arg(long, env = "CHARGEGATE_ACL_URL", value_name = "URL", required_unless_present = "demo")]
    acl_url: Option<String>,
    /// How long each call to the demo's authorization service takes
    #[arg(long, env = "CHARGEGATE_ACL_DELAY", value_name = "TIME", default_value = "0ms", value_parser = duration::parse)]
    pub(super) acl_delay: Duration,
    /// How many calls the demo's authorization service serves at once [default: no limit]
    #[arg(long, env = "CHARGEGATE_ACL_CAPACITY", value_name = "CALLS", value_parser = count)]
    pub(super) acl_capacity: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) work: WorkerTuningArgs,
    #[command(flatten)]
    addresses: CallbackAddressArgs,
    #[command(flatten)]
    pub(crate) log: log::LogArgs,
}

/// Where queue and store are kept.
pub(super) enum EngineLocation {
    /// In the data folder.
    Folder(sqlite::Settings),
    /// On servers.
    Servers(Box<(RemoteQueueSettings, postgres::Settings)>),
}

impl UpArgs {
    /// The authorization service that was named.
    pub(super) fn acl_url(&self) -> Result<Option<AclUrl>, SettingError> {
        self.acl_url.as_deref().map(str::parse).transpose().map_err(SettingError::AclUrl)
    }

    /// The networks that may be called back besides public addresses.
    pub(super) fn callback_allow(&self) -> String {
        let given = &self.addresses.callback_allow;
        if self.demo { format!("{LOOPBACK},{given}") } else { given.clone() }
    }

    /// Where queue and store are kept: on servers where both are named, in the data folder where neither is.
    pub(super) fn place(&self) -> Result<EngineLocation, SettingError> {
        let callback_lease = self.work.callback_lease();
        match (self.queue.given(), self.database.given()) {
            (None, None) if self.external_edge.is_some() => Err(SettingError::ExternalEdge),
            (None, None) => {
                let depth_limit = self.limit.queue_limit.get();
                let message_lease = self.work.message_lease();
                Ok(EngineLocation::Folder(sqlite::Settings { depth_limit, message_lease, callback_lease }))
            }
            (Some(_), Some(_)) => Ok(EngineLocation::Servers(Box::new((
                self.queue.settings()?.for_edge(self.limit.queue_limit).for_worker(&self.work),
                self.database.settings(self.database_connections, callback_lease, self.work.retention)?,
            )))),
            _ => Err(SettingError::HalfRemote),
        }
    }
}
