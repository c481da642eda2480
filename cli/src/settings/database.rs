//! Flags of a store on a server.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use chargegate_postgres as postgres;

use super::SettingError;

/// Flags of a store on a server.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct DatabaseArgs {
    #[arg(help = "URL of the store, a PostgreSQL database: postgres://user:password@host/database")]
    #[arg(long, global = true, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("DatabaseArgs").finish_non_exhaustive()
    }
}

impl DatabaseArgs {
    /// Returns the configured URL; an empty one counts as unset.
    pub(crate) fn configured_url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }

    /// Returns the parsed URL.
    ///
    /// # Errors
    /// [`SettingError`]: no database is configured, or its URL cannot be parsed.
    pub(crate) fn url(&self) -> Result<postgres::DatabaseUrl, SettingError> {
        let url = self.configured_url().ok_or(SettingError::NoDatabase)?;
        url.parse().map_err(SettingError::DatabaseUrl)
    }

    /// Returns the settings of the store.
    ///
    /// # Errors
    /// [`SettingError`], as [`Self::url`].
    pub(crate) fn settings(
        &self,
        connections: NonZeroU32,
        callback_lease: Duration,
        retention: Duration,
    ) -> Result<postgres::PostgresSettings, SettingError> {
        Ok(postgres::PostgresSettings {
            connections,
            callback_lease,
            retention,
            ..postgres::PostgresSettings::new(self.url()?)
        })
    }
}
