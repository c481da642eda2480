//! The error of a load test.

use std::io;

use crate::args::LoadPlanError;
use crate::overload::OverloadPlanError;

/// The reason why a load test failed without a report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Flags contradict each other.
    #[error(transparent)]
    Plan(#[from] LoadPlanError),
    /// Flags of an overload test contradict each other.
    #[error(transparent)]
    OverloadPlan(#[from] OverloadPlanError),
    /// A process cannot be run.
    #[error("`chargegate {name}` cannot be run: check --program, and that setpriv and kill are installed")]
    Spawn {
        /// The subcommand.
        name: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A process does not start.
    #[error("`chargegate {name}` did not start: see its output above")]
    NotReady {
        /// The subcommand.
        name: &'static str,
    },
    /// A process failed.
    #[error("`chargegate {name}` failed: see its output above")]
    Ended {
        /// The subcommand.
        name: &'static str,
    },
    /// A process does not report its figures.
    #[error("`chargegate {name}` did not report its figures: see its output above")]
    Figures {
        /// The subcommand.
        name: &'static str,
    },
    /// The table of the authorization service cannot be written.
    #[error("the table of the authorization service cannot be written to the folder for temporary files")]
    AclFile(#[source] io::Error),
    /// Redis failed.
    #[error("the Redis server in REDIS_URL (--redis-url) failed")]
    Redis(#[from] redis::RedisError),
    /// PostgreSQL failed.
    #[error("the PostgreSQL server in DATABASE_URL (--database-url) failed")]
    Postgres(#[from] sqlx::Error),
    /// The authorization service or the callback receiver failed.
    #[error("the authorization service and the callback receiver did not start")]
    LoadPeers(#[source] io::Error),
    /// A message for the queue could not be created.
    #[error("a message to drain could not be created")]
    Message,
    /// The runtime did not start.
    #[error("the runtime did not start")]
    Runtime(#[source] io::Error),
}
