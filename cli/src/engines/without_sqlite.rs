//! Replaces the engine in the data folder in a build without the feature `sqlite`.

use std::path::Path;

use chargegate_storage::inspect::Inspect;
use chargegate_storage::reconcile::Reconciliation;
use chargegate_storage::{Effects, StoreError};

use super::{EngineOpenError, Engines, FolderTuning, OpenOperators};

/// This build has no engine for a data folder.
#[derive(Debug, thiserror::Error)]
#[error("this program was built without the engine for a data folder")]
struct FolderNotBuilt;

fn not_built() -> EngineOpenError {
    EngineOpenError::new(
        FolderNotBuilt,
        "set QUEUE_URL and DATABASE_URL (--queue-url, --database-url), or build it with the feature sqlite",
    )
}

/// Fails: this build has no engine for a data folder.
pub(crate) async fn open_folder(
    _data_dir: &Path,
    _tuning: FolderTuning,
    _effects: &Effects,
) -> Result<Engines, EngineOpenError> {
    Err(not_built())
}

/// Fails: this build has no engine for a data folder.
pub(crate) async fn inspect_folder(_data_dir: &Path) -> Result<Box<dyn Inspect>, EngineOpenError> {
    Err(not_built())
}

/// Fails: this build has no engine for a data folder.
pub(crate) async fn operate_folder(
    _data_dir: &Path,
    _effects: &Effects,
) -> Result<Option<OpenOperators>, EngineOpenError> {
    Err(not_built())
}

/// Fails: this build has no engine for a data folder.
pub(crate) async fn reconcile_folder(
    _data_dir: &Path,
) -> Result<Result<Reconciliation, StoreError>, EngineOpenError> {
    Err(not_built())
}
