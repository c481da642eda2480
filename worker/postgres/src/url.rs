//! URL of the database.

use std::fmt;
use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// URL with the scheme `postgres` or `postgresql`. It may contain a password: `Debug` shows only host and database.
#[derive(Clone)]
pub struct DatabaseUrl(PgConnectOptions);

impl DatabaseUrl {
    /// Returns connection options. Statements may contain secrets, so they are not logged.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.0.clone().application_name("chargegate").disable_statement_logging()
    }

    /// Returns host and port, or the socket.
    pub(super) fn place(&self) -> String {
        match self.0.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.0.get_host(), self.0.get_port()),
        }
    }

    /// Returns the database's name.
    pub(super) fn database(&self) -> &str {
        self.0.get_database().unwrap_or_else(|| self.0.get_username())
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, _) = text.split_once("://").ok_or(DatabaseUrlError)?;
        if scheme != "postgres" && scheme != "postgresql" {
            return Err(DatabaseUrlError);
        }
        text.parse().map(Self).map_err(|_| DatabaseUrlError)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}/{}, ..)", self.place(), self.database())
    }
}

/// Text that is not the URL of a PostgreSQL database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL like postgres://user:password@host:5432/database")]
pub struct DatabaseUrlError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url: DatabaseUrl =
            "postgres://someone:s3cret@db.example:6432/charge?sslmode=require".parse().unwrap();
        assert_eq!(format!("{url:?}"), "DatabaseUrl(db.example:6432/charge, ..)");
    }

    #[test]
    fn only_postgres_urls_are_accepted() {
        for text in ["postgres://localhost/x", "postgresql://u@[::1]:5432/x"] {
            text.parse::<DatabaseUrl>().unwrap();
        }
        for text in ["", "localhost", "sqlite:x", "mysql://localhost/x", "postgres:x", "postgres://h:port/x"]
        {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap_err(), DatabaseUrlError, "{text}");
        }
    }
}
