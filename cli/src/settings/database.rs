//! Flags of a store on a server.

use std::fmt;

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
}
