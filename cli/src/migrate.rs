//! `chargegate migrate`: migrates the database to the schema of this version.

use crate::engines::{EngineOpenError, SchemaVersions, store_connector};
use crate::output;
use crate::settings::{DatabaseArgs, SettingError};

/// Create or update the schema of the database; safe to repeat
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Migrates the database.
///
/// # Errors
/// The migration failed; the database keeps its version, or one between.
pub(crate) async fn run(args: MigrateArgs) -> Result<(), MigrateCommandError> {
    let SchemaVersions { from, to } = store_connector(&args.database)?.migrate().await?;
    output::line(match from {
        from if from == to => format!("the schema is already at version {to}"),
        0 => format!("created the schema, version {to}"),
        from => format!("updated the schema from version {from} to {to}"),
    });
    Ok(())
}

/// Error of `chargegate migrate`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The migration failed.
    #[error(transparent)]
    Migrate(#[from] EngineOpenError),
}
