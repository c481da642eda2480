//! What a failed statement means: the one place that reads SQLSTATEs.

use std::error::Error;

use chargegate_storage::EngineError;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server or the connection to it.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The server did not answer in time.
    #[error("the database did not answer in time")]
    Deadline,
    /// All sessions were in use for too long.
    #[error("all sessions with the database are in use")]
    Busy,
    /// A partition that was just cut does not take the rows.
    #[error("no partition takes the rows")]
    NoPartition,
    /// The books are kept by the primary alone.
    #[error("a standby lags behind its primary")]
    Standby,
    /// Retention forgot a request while it was repeated.
    #[error("retention overtook a repeated request")]
    Overtaken,
}

/// What a SQLSTATE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// There is no room.
    Full,
    /// It may pass.
    Passing,
    /// It may pass, and this session, with all as old, is of no use any more.
    Session,
    /// No partition takes the row yet.
    NoPartition,
    /// The schema or what is stored is not what this version knows: repeating does not mend it.
    Damage,
}

/// Reads a SQLSTATE (PostgreSQL, appendix A), its first two characters naming its class.
pub(super) fn classify(state: &str) -> Class {
    match state {
        // disk_full
        "53100" => Class::Full,
        // check_violation: an insert that no partition takes has the same.
        "23514" => Class::NoPartition,
        // A standby, or a primary that became one; a database, a role or its rights that come back.
        "25006" | "3D000" | "42501" => Class::Session,
        // invalid_schema_name, and data or indexes the server itself finds corrupted.
        "3F000" | "XX001" | "XX002" => Class::Damage,
        _ => match state.get(..2) {
            // Connections cut, refused, or told to go: administration, crash, authentication.
            Some("08" | "28" | "57") if state != "57014" => Class::Session,
            // Tables, columns or functions that are missing or other; rows that contradict them; values that do not
            // fit.
            Some("21" | "22" | "23" | "42") => Class::Damage,
            // Deadlock, serialization, timeouts, resources, locks, and whatever is not known here.
            _ => Class::Passing,
        },
    }
}

impl Failure {
    /// What it asks for.
    pub(super) fn class(&self) -> Class {
        let error = match self {
            Self::Sql(error) => error,
            Self::Deadline => return Class::Session,
            Self::NoPartition => return Class::NoPartition,
            Self::Busy | Self::Overtaken => return Class::Passing,
            Self::Standby => return Class::Damage,
        };
        match error {
            sqlx::Error::Database(error) => {
                error.code().map_or(Class::Passing, |state| classify(state.as_ref()))
            }
            sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_) => Class::Damage,
            _ => Class::Session,
        }
    }

    /// Whether the user lacks a privilege.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501"))
    }

    /// Whether other sessions of the same age are suspect.
    pub(super) fn of_connection(&self) -> bool {
        self.class() == Class::Session
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        match failure.class() {
            Class::Full => Self::Full,
            Class::Damage if matches!(failure, Failure::Standby) => Self::Standby,
            Class::Damage => {
                tracing::error!(error = %failure, "the database refused a statement");
                Self::Unreadable("its tables or rows are not those of this version; run `chargegate migrate`")
            }
            // A partition that is still missing after it was cut: the next repetition cuts again.
            Class::Passing | Class::Session | Class::NoPartition => {
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
            (Class::Full, &["53100"][..]),
            (
                Class::Passing,
                &[
                    "40001", "40P01", "55P03", "57014", "53000", "53200", "53300", "53400", "25P03", "58000",
                    "58030", "XX000", "54000", "72000", "0A000", "99999", "", "é",
                ],
            ),
            (
                Class::Session,
                &[
                    "08000", "08003", "08006", "08001", "08004", "08P01", "25006", "28000", "28P01", "3D000",
                    "42501", "57000", "57P01", "57P02", "57P03", "57P04", "57P05",
                ],
            ),
            (Class::NoPartition, &["23514"]),
            (
                Class::Damage,
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
    fn only_what_repeating_cannot_mend_stops_a_worker() {
        for (failure, stops) in [
            (Failure::Deadline, false),
            (Failure::Busy, false),
            (Failure::Overtaken, false),
            (Failure::NoPartition, false),
            (Failure::Sql(sqlx::Error::WorkerCrashed), false),
            (Failure::Sql(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())), false),
            (Failure::Sql(sqlx::Error::Protocol("cut".into())), false),
            (Failure::Sql(sqlx::Error::RowNotFound), true),
        ] {
            let text = failure.to_string();
            let stop = matches!(EngineError::from(failure), EngineError::Unreadable(_));
            assert_eq!(stop, stops, "{text}");
        }
    }
}
