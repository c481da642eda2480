//! The interface between the commands and the engines on servers.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_storage::Effects;
use chargegate_storage::fleet::FleetStore;
use chargegate_storage::history::{HistorySource, HistoryStore};
use chargegate_storage::inspect::Inspect;
use chargegate_storage::operate::Operators;
use chargegate_storage::queue::{Producer, Queue};
use chargegate_storage::reconcile::{CountedQueue, CountedStore};
use chargegate_storage::store::Store;

use super::EngineOpenError;
use crate::settings::WorkerTuningArgs;

/// The lifecycle of an open engine.
#[async_trait]
pub(crate) trait EngineHandle: Send + Sync {
    /// Waits until a part of the engine has ended, after a fault or because it was closed.
    async fn ended(&self) {
        std::future::pending::<()>().await;
    }

    /// Releases leased messages, flushes pending writes and closes the connections.
    async fn close(&self);
}

/// An open queue.
pub(crate) struct OpenQueue {
    /// The queue as a worker uses it.
    pub(crate) queue: Arc<dyn Queue>,
    /// The queue as an edge uses it.
    pub(crate) producer: Arc<dyn Producer>,
    /// The queue's history, if the engine keeps one.
    pub(crate) history: Option<Arc<dyn HistorySource>>,
    /// The lifecycle.
    pub(crate) handle: Arc<dyn EngineHandle>,
}

impl OpenQueue {
    /// Creates a queue without a history.
    pub(crate) fn new<E: Queue + Producer + EngineHandle + 'static>(engine: Arc<E>) -> Self {
        Self { queue: engine.clone(), producer: engine.clone(), history: None, handle: engine }
    }
}

/// An open store.
pub(crate) struct OpenStore {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// The state that workers share to protect the authorization service.
    pub(crate) fleet: Arc<dyn FleetStore>,
    /// The record of the queue's history.
    pub(crate) history: Arc<dyn HistoryStore>,
    /// The store as operators use it.
    pub(crate) operators: Operators,
    /// The lifecycle.
    pub(crate) handle: Arc<dyn EngineHandle>,
}

/// A store opened for changes by an operator.
pub(crate) struct OpenOperators {
    /// The store as operators use it.
    pub(crate) operators: Operators,
    /// The lifecycle.
    pub(crate) handle: Arc<dyn EngineHandle>,
}

/// The checked settings of a queue on a server, without a connection yet.
#[async_trait]
pub(crate) trait QueueConnector: Send + Sync {
    /// Sets the settings of an edge: at most `limit` messages wait, on engines that let us count them.
    fn limit_depth(&mut self, _limit: NonZeroU64) {}

    /// Sets the settings of a worker with the flags `work`: a lease outlasts the work done under it.
    fn tune_for_worker(&mut self, work: &WorkerTuningArgs);

    /// Opens the queue and logs its configuration risks.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn open(self: Box<Self>, effects: &Effects) -> Result<OpenQueue, EngineOpenError>;

    /// Opens the queue's counters for reading; `None` if the engine does not count messages.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn open_counters(
        &self,
        _effects: &Effects,
    ) -> Result<Option<Box<dyn CountedQueue>>, EngineOpenError> {
        Ok(None)
    }
}

/// Settings of the engine in the data folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FolderTuning {
    /// Maximum number of messages in the queue.
    pub(crate) depth_limit: NonZeroU64,
    /// Lease of a message.
    pub(crate) message_lease: Duration,
    /// Lease of a callback.
    pub(crate) callback_lease: Duration,
}

/// Settings of a store that depend on the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreTuning {
    /// Maximum number of database connections.
    pub(crate) connections: NonZeroU32,
    /// Lease of a callback.
    pub(crate) callback_lease: Duration,
    /// Time that finished requests are kept.
    pub(crate) retention: Duration,
}

/// The versions of a schema before and after a migration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaVersions {
    /// The version before; zero for an empty database.
    pub(crate) from: i64,
    /// The version now.
    pub(crate) to: i64,
}

/// The checked URL of a store on a server, without a connection yet.
#[async_trait]
pub(crate) trait StoreConnector: Send + Sync {
    /// Opens the store and logs its configuration risks.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn open(&self, tuning: StoreTuning) -> Result<OpenStore, EngineOpenError>;

    /// Opens the store for reading decisions.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn inspect(&self) -> Result<Box<dyn Inspect>, EngineOpenError>;

    /// Opens the store for changes by an operator.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn operate(&self) -> Result<OpenOperators, EngineOpenError>;

    /// Opens the store for reading its counters.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn open_counters(&self) -> Result<Box<dyn CountedStore>, EngineOpenError>;

    /// Migrates the schema.
    ///
    /// # Errors
    /// [`EngineOpenError`].
    async fn migrate(&self) -> Result<SchemaVersions, EngineOpenError>;
}
