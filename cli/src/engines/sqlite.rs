//! Queue and store in the data folder, in one SQLite file.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chargegate_sqlite::{SqliteEngine, SqliteInspector, SqliteOpenError, SqliteSettings};
use chargegate_storage::fleet::LocalFleet;
use chargegate_storage::inspect::Inspect;
use chargegate_storage::operate::Operators;
use chargegate_storage::reconcile::Reconciliation;
use chargegate_storage::{Effects, StoreError};

use super::{EngineHandle, EngineOpenError, Engines, FolderTuning, OpenOperators};
use crate::settings::DATA_DIR;

/// Opens queue and store in `data_dir`.
///
/// # Errors
/// [`EngineOpenError`] names the variable and the remedy.
pub(crate) async fn open_folder(
    data_dir: &Path,
    tuning: FolderTuning,
    effects: &Effects,
) -> Result<Engines, EngineOpenError> {
    let FolderTuning { depth_limit, message_lease, callback_lease } = tuning;
    let settings = SqliteSettings { depth_limit: depth_limit.get(), message_lease, callback_lease };
    let engine = SqliteEngine::open(data_dir, settings, effects.clone()).await.map_err(with_remedy)?;
    let engine = Arc::new(engine);
    Ok(Engines {
        queue: engine.clone(),
        producer: engine.clone(),
        store: engine.clone(),
        // One process has the folder to itself.
        fleet: Arc::new(LocalFleet::new()),
        watch: None,
        operators: operators(&engine),
        handles: vec![engine],
    })
}

/// Opens the data folder for reading decisions.
///
/// # Errors
/// [`EngineOpenError`].
pub(crate) async fn inspect_folder(data_dir: &Path) -> Result<Box<dyn Inspect>, EngineOpenError> {
    Ok(Box::new(SqliteInspector::open(data_dir).await.map_err(with_remedy)?))
}

/// Opens the data folder for changes by an operator, or returns `None` if a process holds it.
///
/// # Errors
/// [`EngineOpenError`].
pub(crate) async fn operate_folder(
    data_dir: &Path,
    effects: &Effects,
) -> Result<Option<OpenOperators>, EngineOpenError> {
    // An operator changes what is there, and creates no folder.
    SqliteInspector::open(data_dir).await.map_err(with_remedy)?;
    match SqliteEngine::open(data_dir, SqliteSettings::default(), effects.clone()).await {
        Ok(engine) => {
            let engine = Arc::new(engine);
            Ok(Some(OpenOperators { operators: operators(&engine), handle: engine }))
        }
        Err(SqliteOpenError::InUse { .. }) => Ok(None),
        Err(error) => Err(with_remedy(error)),
    }
}

fn operators(engine: &Arc<SqliteEngine>) -> Operators {
    Operators { view: Arc::new(engine.inspector()), operate: engine.clone() }
}

/// Reconciles queue and store in the data folder.
///
/// # Errors
/// The folder cannot be opened; the inner error if it cannot be read.
pub(crate) async fn reconcile_folder(
    data_dir: &Path,
) -> Result<Result<Reconciliation, StoreError>, EngineOpenError> {
    Ok(SqliteInspector::open(data_dir).await.map_err(with_remedy)?.reconcile().await)
}

#[async_trait]
impl EngineHandle for SqliteEngine {
    async fn close(&self) {
        SqliteEngine::close(self).await;
    }
}

/// Adds the setting to change and the remedy.
fn with_remedy(error: SqliteOpenError) -> EngineOpenError {
    let remedy = match &error {
        SqliteOpenError::Missing { .. } => format!("name the data folder with {DATA_DIR}"),
        SqliteOpenError::Folder { .. } => format!("choose another with {DATA_DIR}"),
        SqliteOpenError::InUse { .. } => {
            format!("stop that process, or choose another folder with {DATA_DIR}")
        }
        SqliteOpenError::Foreign { .. } => format!("choose another folder with {DATA_DIR}"),
        SqliteOpenError::Newer { .. } => {
            format!("run the newer program again, or choose another folder with {DATA_DIR}")
        }
        SqliteOpenError::NotDurable { .. } => {
            format!("choose a folder with {DATA_DIR} on a local file system that can map files into memory")
        }
        SqliteOpenError::Database { .. } => {
            format!("check that the disk of {DATA_DIR} is not full and the file may be read and written")
        }
    };
    EngineOpenError::new(error, remedy)
}
