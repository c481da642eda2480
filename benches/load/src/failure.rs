//! Why nothing was measured.

use std::io;

use crate::args::PlanError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Flags do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A process cannot be run.
    #[error("`chargegate {name}` cannot be run: check --program, and that setpriv and kill are installed")]
    Spawn {
        /// The subcommand.
        name: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process does not start.
    #[error("`chargegate {name}` does not start: what it says stands above")]
    NotReady {
        /// The subcommand.
        name: &'static str,
    },
    /// A process failed.
    #[error("`chargegate {name}` failed: what it says stands above")]
    Ended {
        /// The subcommand.
        name: &'static str,
    },
    /// Redis failed.
    #[error("the server of REDIS_URL (--redis-url) cannot be used")]
    Redis(#[from] redis::RedisError),
    /// PostgreSQL failed.
    #[error("the server of DATABASE_URL (--database-url) cannot be used")]
    Postgres(#[from] sqlx::Error),
    /// The load's own servers failed.
    #[error("the load's own servers do not start")]
    Peers(#[source] io::Error),
    /// A message for the queue could not be made.
    #[error("the messages to drain cannot be made")]
    Message,
    /// There is no runtime.
    #[error("the runtime does not start")]
    Runtime(#[source] io::Error),
}
