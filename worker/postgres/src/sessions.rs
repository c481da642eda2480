//! Sessions with the server: so many at most, each bounded in all it does, and closed after any failure.
//!
//! A pool that hands a failed connection out again would have to ask the server what state it is in, and a server that
//! does not answer keeps the place taken. Here a session goes back only after a success; dropping it, on a failure, a
//! deadline or a cancellation, closes its socket, and the server undoes what was not committed.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use super::url::DatabaseUrl;
use chargegate_storage::EngineError;

/// How long a new session may take.
pub(super) const CONNECT: Duration = Duration::from_secs(3);
/// How long to wait for one of the sessions.
const WAIT: Duration = Duration::from_secs(3);
/// A session that was idle for so long is tested before it is used.
const TRUSTED: Duration = Duration::from_secs(5);
const TEST: Duration = Duration::from_secs(1);
const CLOSE: Duration = Duration::from_secs(1);

/// What sessions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A worker's: small statements over few rows of tables that may be huge.
    Work,
    /// People's: statements over whole tables, changing nothing.
    Look,
}

impl Purpose {
    /// How long an operation may take in all, as the client sees it: the server may have stopped.
    const fn deadline(self) -> Duration {
        match self {
            Self::Work => Duration::from_secs(6),
            Self::Look => Duration::from_mins(5),
        }
    }

    /// What the server is told. A worker's statements are written for one plan, by index, whatever the planner believes
    /// of the tables: statistics of a moment when they were empty must not choose for the day they are not.
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
            Self::Look => &[
                ("search_path", "chargegate"),
                ("default_transaction_read_only", "on"),
                ("statement_timeout", "4min"),
                ("lock_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "1min"),
            ],
        }
    }
}

/// The sessions of one engine or view.
#[derive(Debug)]
pub(super) struct Sessions {
    options: PgConnectOptions,
    deadline: Duration,
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Grows with each failure of a connection: after a failover or a restart all older ones are suspect.
    era: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    era: u64,
    since: Instant,
}

impl Sessions {
    pub(super) fn new(url: &DatabaseUrl, purpose: Purpose, most: NonZeroU32) -> Self {
        let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
        Self {
            options: url.options().options(purpose.settings().iter().copied()),
            deadline: purpose.deadline(),
            places: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
            era: AtomicU64::new(0),
        }
    }

    /// A session of the caller's own, until it is settled or dropped.
    pub(super) async fn begin(&self) -> Result<Session<'_>, EngineError> {
        let place = match timeout(WAIT, self.places.acquire()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_closed)) => return Err(EngineError::Closed),
            Err(_elapsed) => return Err(Failure::Busy.into()),
        };
        let ends = Instant::now() + self.deadline;
        let era = self.era.load(Ordering::Relaxed);
        while let Some(mut idle) = self.pop(era) {
            let trusted = idle.since.elapsed() < TRUSTED;
            if trusted || matches!(timeout(TEST, idle.connection.ping()).await, Ok(Ok(()))) {
                return Ok(Session { connection: idle.connection, era, ends, place, sessions: self });
            }
            // Those below were idle for longer: to test each would use up the time of the operation.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let connection = match timeout(CONNECT, self.options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(Failure::Sql(error).into()),
            Err(_elapsed) => return Err(Failure::Deadline.into()),
        };
        Ok(Session { connection, era, ends, place, sessions: self })
    }

    /// Ends what is idle; what is in use ends when it is done.
    pub(super) async fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for Idle { connection, .. } in idle {
            let _ = timeout(CLOSE, connection.close()).await;
        }
    }

    /// An idle session of this era; older ones are closed.
    fn pop(&self, era: u64) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.era == era);
        idle.pop()
    }

    fn push(&self, idle: Idle) {
        if !self.places.is_closed() && idle.era == self.era.load(Ordering::Relaxed) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }
}

/// A session in use. Dropped without being settled it is closed.
#[derive(Debug)]
pub(super) struct Session<'a> {
    connection: PgConnection,
    era: u64,
    ends: Instant,
    place: SemaphorePermit<'a>,
    sessions: &'a Sessions,
}

impl Session<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// The moment until which the operation may use it.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Gives it back, unless the operation failed.
    pub(super) fn settle<T>(self, result: Result<T, Failure>) -> Result<T, EngineError> {
        let Self { connection, era, place, sessions, .. } = self;
        match result {
            Ok(done) => {
                sessions.push(Idle { connection, era, since: Instant::now() });
                drop(place);
                Ok(done)
            }
            Err(failure) => {
                if failure.of_connection() {
                    let _ = sessions.era.compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
                }
                Err(failure.into())
            }
        }
    }
}

/// Bounds an operation.
pub(super) async fn until<T>(
    ends: Instant,
    operation: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(ends, operation).await.unwrap_or(Err(Failure::Deadline))
}
