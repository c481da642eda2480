//! Classification of failed statements; SQLSTATEs are read only here.

use std::error::Error;

use chargegate_storage::StoreError;

/// Failure of one operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostgresFailure {
    /// The server or the connection to it.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The server did not answer in time.
    #[error("the database did not answer in time")]
    Deadline,
    /// All sessions were in use for too long.
    #[error("all sessions with the database are in use")]
    Busy,
    /// No partition accepts the rows, although partitions were just created.
    #[error("no partition accepts the rows")]
    NoPartition,
    /// The server is a standby, and only the primary has all totals.
    #[error("a standby lags behind its primary")]
    Standby,
    /// The audit trail holds another action with the same id.
    #[error("the id belongs to another action")]
    OtherAction,
    /// Retention deleted a request while it was repeated.
    #[error("retention overtook a repeated request")]
    Overtaken,
}

/// Consequence of a SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The disk is full.
    Full,
    /// The failure is transient.
    Transient,
    /// The failure is transient, and this session and all older ones are unusable.
    PostgresSession,
    /// No partition accepts the row yet.
    NoPartition,
    /// The schema or the data is not what this version expects; retrying does not help.
    Damage,
}

/// Classifies a SQLSTATE (PostgreSQL documentation, appendix A); the first two characters name its class.
pub(super) fn classify(state: &str) -> FailureClass {
    match state {
        // disk_full
        "53100" => FailureClass::Full,
        // check_violation, which is also reported when no partition accepts an insert.
        "23514" => FailureClass::NoPartition,
        // A standby, or a primary that became one; a database, a role or a privilege that may come back.
        "25006" | "3D000" | "42501" => FailureClass::PostgresSession,
        // invalid_schema_name, and data or indexes the server itself finds corrupted.
        "3F000" | "XX001" | "XX002" => FailureClass::Damage,
        _ => match state.get(..2) {
            // Connections closed or refused: administration, crash, authentication.
            Some("08" | "28" | "57") if state != "57014" => FailureClass::PostgresSession,
            // Tables, columns or functions that are missing or other; rows that contradict them; values that do not
            // fit.
            Some("21" | "22" | "23" | "42") => FailureClass::Damage,
            // Deadlock, serialization, timeouts, resources, locks, and unknown states.
            _ => FailureClass::Transient,
        },
    }
}

impl PostgresFailure {
    /// Returns the consequence of the failure.
    pub(super) fn class(&self) -> FailureClass {
        let error = match self {
            Self::Sql(error) => error,
            Self::Deadline => return FailureClass::PostgresSession,
            Self::NoPartition => return FailureClass::NoPartition,
            Self::Busy | Self::Overtaken => return FailureClass::Transient,
            Self::Standby | Self::OtherAction => return FailureClass::Damage,
        };
        match error {
            sqlx::Error::Database(error) => {
                error.code().map_or(FailureClass::Transient, |state| classify(state.as_ref()))
            }
            sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_) => FailureClass::Damage,
            _ => FailureClass::PostgresSession,
        }
    }

    /// Returns whether the user lacks a privilege.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501"))
    }

    /// Returns whether other sessions of the same age are suspect.
    pub(super) fn of_connection(&self) -> bool {
        self.class() == FailureClass::PostgresSession
    }
}

impl From<PostgresFailure> for StoreError {
    fn from(failure: PostgresFailure) -> Self {
        match failure {
            PostgresFailure::Standby => return Self::Standby,
            PostgresFailure::OtherAction => return Self::OtherAction,
            _ => {}
        }
        match failure.class() {
            FailureClass::Full => Self::Full,
            FailureClass::Damage => {
                tracing::error!(error = %failure, "the database refused a statement");
                Self::Unreadable("its tables or rows are not those of this version; run `chargegate migrate`")
            }
            // A partition that is still missing: the next attempt creates partitions again.
            FailureClass::Transient | FailureClass::PostgresSession | FailureClass::NoPartition => {
                Self::Unavailable(Box::<dyn Error + Send + Sync>::from(failure))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_class() {
        let classes = [
            (FailureClass::Full, &["53100"][..]),
            (
                FailureClass::Transient,
                &[
                    "40001", "40P01", "55P03", "57014", "53000", "53200", "53300", "53400", "25P03", "58000",
                    "58030", "XX000", "54000", "72000", "0A000", "99999", "", "é",
                ],
            ),
            (
                FailureClass::PostgresSession,
                &[
                    "08000", "08003", "08006", "08001", "08004", "08P01", "25006", "28000", "28P01", "3D000",
                    "42501", "57000", "57P01", "57P02", "57P03", "57P04", "57P05",
                ],
            ),
            (FailureClass::NoPartition, &["23514"]),
            (
                FailureClass::Damage,
                &[
                    "42P01", "42703", "42883", "42804", "42601", "3F000", "23505", "23502", "23503", "22021",
                    "22003", "21000", "XX001", "XX002",
                ],
            ),
        ];
        for (class, states) in classes {
            for state in states {
                assert_eq!(classify(state), class, "{state}");
            }
        }
    }

    #[test]
    fn only_a_permanent_failure_stops_a_worker() {
        for (failure, stops) in [
            (PostgresFailure::Deadline, false),
            (PostgresFailure::Busy, false),
            (PostgresFailure::Overtaken, false),
            (PostgresFailure::NoPartition, false),
            (PostgresFailure::Sql(sqlx::Error::WorkerCrashed), false),
            (PostgresFailure::Sql(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())), false),
            (PostgresFailure::Sql(sqlx::Error::Protocol("cut".into())), false),
            (PostgresFailure::Sql(sqlx::Error::RowNotFound), true),
        ] {
            let text = failure.to_string();
            let stop = matches!(StoreError::from(failure), StoreError::Unreadable(_));
            assert_eq!(stop, stops, "{text}");
        }
    }
}
