//! `chargegate migrate`: brings the database to the schema of this version.

use chargegate_postgres as postgres;
use chargegate_postgres::{self, MigrateError, Migrated};

use crate::output;
use crate::settings::{DatabaseArgs, SettingError};

/// Create or update the schema of the database; harmless to repeat
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Migrates.
///
/// # Errors
/// The database cannot be migrated; it is as it was, or at a version between.
pub(crate) async fn run(args: MigrateArgs) -> Result<(), MigrateCommandError> {
    let Migrated { from, to } = postgres::migrate(&args.database.url()?).await?;
    output::line(match from {
        from if from == to => format!("the schema is at version {to} already"),
        0 => format!("created the schema, version {to}"),
        from => format!("updated the schema from version {from} to {to}"),
    });
    Ok(())
}

/// Why the database is not migrated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The database refused.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}
