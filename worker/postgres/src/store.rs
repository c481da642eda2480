//! Implementation of the store interface.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure::{FailureClass, PostgresFailure};
use super::record::{self, RecordContext};
use super::rows::{count, uuid};
use super::sessions::until;
use super::{PostgresStore, claim, pauses, receivers, report};
use chargegate_storage::StoreError;
use chargegate_storage::metric;
use chargegate_storage::operate::HostPauses;
use chargegate_storage::store::{
    AttemptReport, CallbackBacklog, CallbackJob, ClaimLimits, Outcome, RecordVerdict, ReleasedCallback,
    Store, UnavailableReceiver,
};

#[async_trait]
impl Store for PostgresStore {
    async fn record(&self, outcomes: &[Outcome]) -> Result<Vec<RecordVerdict>, StoreError> {
        let verdicts = self.record_with_partitions(outcomes).await;
        self.track_unconfirmed(outcomes, &verdicts);
        verdicts
    }

    async fn claim(&self, limits: ClaimLimits) -> Result<Vec<CallbackJob>, StoreError> {
        // A claim works without new partitions, and a record call that lacks one creates it.
        if let Err(error) = self.ensure_partitions().await {
            tracing::warn!(error = %error, cause = metric::cause(&error), "could not create partitions ahead of time; retrying later");
        }
        let mut last_host = self.shared.last_host.lock().await;
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let lease = self.shared.settings.callback_lease;
        let connection = session.connection();
        let claim = async {
            let pauses = pauses::load(connection).await?;
            let limits = pauses.restrict(limits);
            let mut jobs = claim::claim(connection, &limits, lease, &mut last_host).await?;
            pauses.adjust_ages(&mut jobs);
            Ok(jobs)
        };
        let result = until(ends, claim).await;
        session.finish(result)
    }

    async fn release(&self, released: &[ReleasedCallback]) -> Result<(), StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, report::release(session.connection(), released)).await;
        session.finish(result)
    }

    async fn wake(&self, hosts: &[Box<str>]) -> Result<(), StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, receivers::wake(session.connection(), hosts)).await;
        session.finish(result)
    }

    async fn backlogged_hosts(&self, hosts: &[Box<str>], limit: u32) -> Result<Vec<Box<str>>, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, receivers::backlogged(session.connection(), hosts, limit)).await;
        session.finish(result)
    }

    async fn sync_receivers(
        &self,
        unavailable: &[UnavailableReceiver],
        available: &[String],
    ) -> Result<Vec<UnavailableReceiver>, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, receivers::sync(session.connection(), unavailable, available)).await;
        session.finish(result)
    }

    async fn report(&self, reports: &[AttemptReport]) -> Result<(), StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, report::report(session.connection(), reports)).await;
        session.finish(result)
    }

    async fn purge(&self, older_than: Duration) -> Result<bool, StoreError> {
        self.retain(older_than).await
    }

    async fn backlog(&self) -> Result<CallbackBacklog, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, backlog(session.connection())).await;
        session.finish(result)
    }
}

impl PostgresStore {
    /// Reads the pauses of hosts, as every claim does.
    pub(super) async fn load_pauses(&self) -> Result<HostPauses, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, pauses::load(session.connection())).await;
        session.finish(result)
    }

    /// Records outcomes, creating partitions when none accepts the rows.
    async fn record_with_partitions(&self, outcomes: &[Outcome]) -> Result<Vec<RecordVerdict>, StoreError> {
        if let Some(verdicts) = self.try_record(outcomes).await? {
            return Ok(verdicts);
        }
        self.create_partitions().await?;
        Ok(self.try_record(outcomes).await?.ok_or(PostgresFailure::NoPartition)?)
    }

    /// Tracks outcomes that may be recorded although their record call failed, until a later call succeeds.
    fn track_unconfirmed(&self, outcomes: &[Outcome], verdicts: &Result<Vec<RecordVerdict>, StoreError>) {
        let mut unconfirmed = self.shared.unconfirmed.lock();
        for outcome in outcomes {
            if let Outcome::Decided(decided) = outcome {
                if verdicts.is_err() {
                    unconfirmed.insert(decided.message.id);
                } else {
                    unconfirmed.remove(&decided.message.id);
                }
            }
        }
    }

    /// Returns the requests among these outcomes that an earlier call may have recorded.
    fn unconfirmed(&self, outcomes: &[Outcome]) -> HashSet<Uuid> {
        let unconfirmed = self.shared.unconfirmed.lock();
        if unconfirmed.is_empty() {
            return HashSet::new();
        }
        let of = |outcome: &Outcome| match outcome {
            Outcome::Decided(decided) if unconfirmed.contains(&decided.message.id) => {
                Some(uuid(&decided.message.id))
            }
            _ => None,
        };
        outcomes.iter().filter_map(of).collect()
    }

    /// Records outcomes. Returns `None` when no partition accepts the rows.
    async fn try_record(&self, outcomes: &[Outcome]) -> Result<Option<Vec<RecordVerdict>>, StoreError> {
        let context = RecordContext {
            unconfirmed: self.unconfirmed(outcomes),
            lease: self.shared.settings.callback_lease,
        };
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, record::record(session.connection(), outcomes, &context)).await;
        match result {
            Err(failure) if failure.class() == FailureClass::NoPartition => Ok(None),
            result => session.finish(result).map(Some),
        }
    }
}

/// Counts at most $1 rows of each kind, and uses the planner's statistics beyond that.
const BACKLOG: &str = "SELECT \
    CASE WHEN pending < $1 THEN pending ELSE greatest(pending, ( \
        SELECT reltuples::bigint FROM pg_class WHERE oid = 'callback'::regclass)) END AS in_flight, \
    CASE WHEN lost < $1 THEN lost ELSE greatest(lost, ( \
        SELECT sum(greatest(reltuples, 0))::bigint FROM pg_inherits JOIN pg_class ON oid = inhrelid \
        WHERE inhparent = 'attempt_unhandled'::regclass)) END AS dead \
    FROM (SELECT count(*) AS pending FROM (SELECT FROM callback LIMIT $1) AS callback) AS pending, \
    (SELECT count(*) AS lost FROM (SELECT FROM attempt WHERE give_up <> 'discarded' LIMIT $1) AS attempt) AS lost";

async fn backlog(connection: &mut PgConnection) -> Result<CallbackBacklog, PostgresFailure> {
    const MAX_COUNTED_ROWS: i64 = 10_000;
    let row = sqlx::query(BACKLOG).bind(MAX_COUNTED_ROWS).fetch_one(connection).await?;
    Ok(CallbackBacklog { in_flight: count(&row, "in_flight")?, dead: count(&row, "dead")? })
}
