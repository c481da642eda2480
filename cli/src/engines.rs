//! The engines of a process: an open queue and an open store, as trait objects.
//!
//! Each engine is a cargo feature. Its module here is the only place that names its crate.

#[cfg(feature = "cloudflare")]
mod cloudflare;
mod connector;
mod open_error;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg_attr(not(feature = "sqlite"), path = "engines/without_sqlite.rs")]
mod sqlite;
#[cfg(feature = "sqs")]
mod sqs;

use std::sync::Arc;

use chargegate_storage::Effects;
use chargegate_storage::fleet::FleetStore;
use chargegate_storage::history::HistoryMonitor;
use chargegate_storage::operate::Operators;
use chargegate_storage::queue::{Producer, Queue};
use chargegate_storage::store::Store;
use tokio::task::JoinSet;

pub(crate) use self::connector::{
    EngineHandle, FolderTuning, OpenOperators, QueueConnector, SchemaVersions, StoreConnector, StoreTuning,
};
pub(crate) use self::open_error::EngineOpenError;
pub(crate) use self::sqlite::{inspect_folder, open_folder, operate_folder, reconcile_folder};
use crate::settings::{DatabaseArgs, QueueArgs, SettingError};

/// An open queue and an open store.
pub(crate) struct Engines {
    queue: Arc<dyn Queue>,
    producer: Arc<dyn Producer>,
    store: Arc<dyn Store>,
    fleet: Arc<dyn FleetStore>,
    /// The store as operators use it.
    operators: Operators,
    /// Watches for messages that the queue loses, if the queue keeps a history.
    watch: Option<HistoryMonitor>,
    /// The engines, in the order in which they are closed.
    handles: Vec<Arc<dyn EngineHandle>>,
}

/// Returns the connector of the configured queue.
///
/// # Errors
/// [`SettingError`]: no queue is configured, its engine is not part of this build, or a setting is unusable.
pub(crate) fn queue_connector(args: &QueueArgs) -> Result<Box<dyn QueueConnector>, SettingError> {
    let url = args.configured_url().ok_or(SettingError::NoQueue)?;
    match url.split_once(':').map(|(scheme, _)| scheme) {
        #[cfg(feature = "redis")]
        Some("redis" | "rediss") => redis::connector(url, args),
        #[cfg(feature = "sqs")]
        Some("sqs" | "sqs+http") => sqs::connector(url),
        #[cfg(feature = "cloudflare")]
        Some("cloudflare") => cloudflare::connector(url, args),
        #[allow(unreachable_patterns, reason = "an engine that is part of this build is matched above")]
        Some(scheme @ ("redis" | "rediss" | "sqs" | "sqs+http" | "cloudflare")) => {
            Err(SettingError::EngineNotBuilt {
                setting: "QUEUE_URL or --queue-url",
                scheme: scheme.to_owned(),
            })
        }
        _ => Err(SettingError::QueueUrlScheme),
    }
}

/// Returns the connector of the configured store.
///
/// # Errors
/// [`SettingError`]: no database is configured, its engine is not part of this build, or the URL is unusable.
pub(crate) fn store_connector(args: &DatabaseArgs) -> Result<Box<dyn StoreConnector>, SettingError> {
    let url = args.configured_url().ok_or(SettingError::NoDatabase)?;
    #[cfg(feature = "postgres")]
    let connector = postgres::connector(url);
    #[cfg(not(feature = "postgres"))]
    let connector = {
        // The text may hold a password, so only the scheme of this engine is shown.
        let _ = url;
        let setting = "DATABASE_URL or --database-url";
        Err(SettingError::EngineNotBuilt { setting, scheme: "postgres".to_owned() })
    };
    connector
}

impl Engines {
    /// Opens a queue and a store on servers.
    ///
    /// # Errors
    /// [`EngineOpenError`] names the variable and the remedy.
    pub(crate) async fn open_remote(
        queue: Box<dyn QueueConnector>,
        store: Box<dyn StoreConnector>,
        tuning: StoreTuning,
        effects: &Effects,
    ) -> Result<Self, EngineOpenError> {
        // The store first: an open queue is already a member of the group of workers.
        let store = store.open(tuning).await?;
        let queue = queue.open(effects).await?;
        let watch =
            queue.history.map(|history| HistoryMonitor::start(history, store.history, effects.clone()));
        Ok(Self {
            queue: queue.queue,
            producer: queue.producer,
            store: store.store,
            fleet: store.fleet,
            watch,
            operators: store.operators,
            handles: vec![queue.handle, store.handle],
        })
    }

    /// Returns the queue as a worker uses it.
    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue)
    }

    /// Returns the store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Returns the store as operators use it.
    pub(crate) fn operators(&self) -> Operators {
        self.operators.clone()
    }

    /// Returns the state that workers share to protect the authorization service.
    pub(crate) fn fleet(&self) -> Arc<dyn FleetStore> {
        Arc::clone(&self.fleet)
    }

    /// Returns the queue as an edge in this process uses it.
    pub(crate) fn producer(&self) -> Arc<dyn Producer> {
        Arc::clone(&self.producer)
    }

    /// Waits until an engine has failed permanently.
    pub(crate) async fn failed(&self) {
        let mut parts: JoinSet<()> =
            self.handles.iter().map(Arc::clone).map(|handle| async move { handle.ended().await }).collect();
        let watch_ended = async {
            match &self.watch {
                Some(watch) => watch.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = parts.join_next() => {}
            () = watch_ended => {}
        }
    }

    /// Flushes pending writes, deregisters the consumer and closes the connections.
    pub(crate) async fn close(self) {
        if let Some(watch) = self.watch {
            watch.stop().await;
        }
        for handle in self.handles {
            handle.close().await;
        }
    }
}
