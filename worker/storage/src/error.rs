//! What can go wrong in an engine.

use std::error::Error;

/// A queue or store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no room: the disk or the database's own limit is reached.
    #[error("there is no room left in the database")]
    Full,
    /// The engine cannot be reached, or failed in a way that may pass.
    #[error("the database failed")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The database is a standby, and only the primary knows all.
    #[error("a standby lags behind, and decisions would seem to be lost: DATABASE_URL must name the primary")]
    Standby,
    /// What is stored cannot be read by this version.
    #[error("the database holds what this version cannot read: {0}")]
    Unreadable(&'static str),
    /// The engine was shut down.
    #[error("the database is shut down")]
    Closed,
}

/// What to do about an [`EngineError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Try again after a wait.
    Retry,
    /// Do not try again: a human is needed, or the process is stopping.
    Stop,
}

impl EngineError {
    /// What to do about it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self {
            Self::Full | Self::Unavailable(_) => Fate::Retry,
            Self::Standby | Self::Unreadable(_) | Self::Closed => Fate::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (error, fate) in [
            (EngineError::Full, Fate::Retry),
            (EngineError::Unavailable("down".into()), Fate::Retry),
            (EngineError::Standby, Fate::Stop),
            (EngineError::Unreadable("row"), Fate::Stop),
            (EngineError::Closed, Fate::Stop),
        ] {
            assert_eq!(error.fate(), fate, "{error}");
        }
    }
}
