//! Pool of database sessions: limited in number, each operation bounded in time, and closed after any failure.
//!
//! A pool that reuses a failed connection would have to ask the server for the state of the session, and an unresponsive
//! server would occupy the permit. Here a session returns to the pool only after a success; dropping it, on a failure, a
//! deadline or a cancellation, closes its socket, and the server rolls back uncommitted work.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::failure::PostgresFailure;
use super::url::DatabaseUrl;
use chargegate_storage::StoreError;

/// Longest time for opening a session.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a free session.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle time after which a session is tested before use.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(5);
const TEST_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Purpose of a pool's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A worker: small statements over few rows of possibly huge tables.
    Work,
    /// Inspection: read-only statements over whole tables.
    Inspect,
}

impl Purpose {
    /// Returns the client-side limit of an operation, which also covers a server that hangs.
    const fn deadline(self) -> Duration {
        match self {
            Self::Work => Duration::from_secs(6),
            Self::Inspect => Duration::from_mins(5),
        }
    }

    /// Returns the session settings. A worker's statements are written for one plan by index, regardless of statistics:
    /// those of a moment when the tables were empty must not choose the plan for full ones.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Work => &[
                ("search_path", "chargegate"),
                ("default_transaction_isolation", "read committed"),
                ("statement_timeout", "4s"),
                ("lock_timeout", "2s"),
                ("idle_in_transaction_session_timeout", "10s"),
                ("tcp_keepalives_idle", "30"),
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_bitmapscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("jit", "off"),
            ],
            Self::Inspect => &[
                ("search_path", "chargegate"),
                ("default_transaction_read_only", "on"),
                ("statement_timeout", "4min"),
                ("lock_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "1min"),
            ],
        }
    }
}

/// Sessions of one store or view.
#[derive(Debug)]
pub(super) struct SessionPool {
    options: PgConnectOptions,
    deadline: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<IdleSession>>,
    /// Incremented by each connection failure: after a failover or a restart all older sessions are suspect.
    generation: AtomicU64,
}

#[derive(Debug)]
struct IdleSession {
    connection: PgConnection,
    generation: u64,
    since: Instant,
}

impl SessionPool {
    pub(super) fn new(url: &DatabaseUrl, purpose: Purpose, most: NonZeroU32) -> Self {
        let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
        Self {
            options: url.options().options(purpose.settings().iter().copied()),
            deadline: purpose.deadline(),
            permits: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Acquires a session for the caller, until it is finished or dropped.
    pub(super) async fn begin(&self) -> Result<PostgresSession<'_>, StoreError> {
        let permit = match timeout(ACQUIRE_TIMEOUT, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_closed)) => return Err(StoreError::Closed),
            Err(_elapsed) => return Err(PostgresFailure::Busy.into()),
        };
        let ends = Instant::now() + self.deadline;
        let generation = self.generation.load(Ordering::Relaxed);
        while let Some(mut idle) = self.pop(generation) {
            let trusted = idle.since.elapsed() < TEST_AFTER_IDLE;
            if trusted || matches!(timeout(TEST_TIMEOUT, idle.connection.ping()).await, Ok(Ok(()))) {
                return Ok(PostgresSession {
                    connection: idle.connection,
                    generation,
                    ends,
                    permit,
                    sessions: self,
                });
            }
            // The remaining ones were idle for longer; testing each would use up the time of the operation.
            self.idle.lock().clear();
        }
        let connection = match timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(PostgresFailure::Sql(error).into()),
            Err(_elapsed) => return Err(PostgresFailure::Deadline.into()),
        };
        Ok(PostgresSession { connection, generation, ends, permit, sessions: self })
    }

    /// Closes idle sessions; busy ones are closed when their operation ends.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for IdleSession { connection, .. } in idle {
            let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
        }
    }

    /// Takes an idle session of this generation; older ones are closed.
    fn pop(&self, generation: u64) -> Option<IdleSession> {
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.generation == generation);
        idle.pop()
    }

    fn push(&self, idle: IdleSession) {
        if !self.permits.is_closed() && idle.generation == self.generation.load(Ordering::Relaxed) {
            self.idle.lock().push(idle);
        }
    }
}

/// Session in use, closed when dropped before [`finish`](Self::finish).
#[derive(Debug)]
pub(super) struct PostgresSession<'a> {
    connection: PgConnection,
    generation: u64,
    ends: Instant,
    permit: SemaphorePermit<'a>,
    sessions: &'a SessionPool,
}

impl PostgresSession<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Returns the deadline of the operation.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Returns the session to the pool, unless the operation failed.
    pub(super) fn finish<T>(self, result: Result<T, PostgresFailure>) -> Result<T, StoreError> {
        let Self { connection, generation, permit, sessions, .. } = self;
        match result {
            Ok(done) => {
                sessions.push(IdleSession { connection, generation, since: Instant::now() });
                drop(permit);
                Ok(done)
            }
            Err(failure) => {
                if failure.of_connection() {
                    let _ = sessions.generation.compare_exchange(
                        generation,
                        generation + 1,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                Err(failure.into())
            }
        }
    }
}

/// Bounds an operation by a deadline.
pub(super) async fn until<T>(
    ends: Instant,
    operation: impl Future<Output = Result<T, PostgresFailure>>,
) -> Result<T, PostgresFailure> {
    tokio::time::timeout_at(ends, operation).await.unwrap_or(Err(PostgresFailure::Deadline))
}
