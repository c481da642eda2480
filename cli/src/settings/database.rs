//! Where the store is, when it is on a server of its own.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use chargegate_postgres as postgres;

use super::SettingError;

/// Where the store is.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct DatabaseArgs {
    #[arg(help = "The store: a PostgreSQL database, like postgres://user:password@host/database")]
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
    /// The URL as it was given; an empty one is as good as none.
    pub(crate) fn given(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The database's URL.
    ///
    /// # Errors
    /// [`SettingError`]: there is no database, or its URL cannot be read.
    pub(crate) fn url(&self) -> Result<postgres::DatabaseUrl, SettingError> {
        let url = self.given().ok_or(SettingError::NoDatabase)?;
        url.parse().map_err(SettingError::DatabaseUrl)
    }

    /// The store's settings.
    ///
    /// # Errors
    /// See [`Self::url`].
    pub(crate) fn settings(
        &self,
        connections: NonZeroU32,
        callback_lease: Duration,
        retention: Duration,
    ) -> Result<postgres::Settings, SettingError> {
        Ok(postgres::Settings {
            connections,
            callback_lease,
            retention,
            ..postgres::Settings::new(self.url()?)
        })
    }
}
