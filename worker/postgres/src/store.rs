//! The engine as a store.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::PoisonError;

use async_trait::async_trait;
use chargegate_core::{RequestId, UnixMillis};
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure::{Class, Failure};
use super::record::{self, Ours};
use super::rows::{count, millis, uuid};
use super::sessions::until;
use super::{Engine, claim, report};
use chargegate_storage::EngineError;
use chargegate_storage::metric;
use chargegate_storage::store::{
    AttemptReport, Backlog, CallbackJob, ClaimLimits, Outcome, Recorded, Store, Verdict,
};

#[async_trait]
impl Store for Engine {
    async fn record(&self, outcomes: Vec<Outcome>) -> Result<Vec<Recorded>, EngineError> {
        let verdicts = self.record_surely(&outcomes).await;
        self.note_doubt(&outcomes, &verdicts);
        let verdicts = verdicts?;
        Ok(outcomes.into_iter().zip(verdicts).map(|(outcome, verdict)| verdict.answer(outcome)).collect())
    }

    async fn claim(&self, now: UnixMillis, limits: ClaimLimits) -> Result<Vec<CallbackJob>, EngineError> {
        // What is due can be claimed without them, and a record that finds none cuts them itself.
        if let Err(error) = self.keep_slices_ahead().await {
            tracing::warn!(error = %error, cause = metric::cause(&error), "could not cut partitions ahead");
        }
        // What is due at another moment than the caller's now is due at as much another moment than the database's.
        let ahead = millis(now).saturating_sub(millis(self.shared.effects.clock.now()));
        let mut turn = self.shared.turn.lock().await;
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let lease = self.shared.settings.callback_lease;
        let result = until(ends, claim::claim(session.connection(), &limits, ahead, lease, &mut turn)).await;
        session.settle(result)
    }

    async fn release(&self, jobs: Vec<(RequestId, NonZeroU32)>) -> Result<(), EngineError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, report::hand_back(session.connection(), &jobs)).await;
        session.settle(result)
    }

    async fn report(&self, reports: Vec<AttemptReport>) -> Result<(), EngineError> {
        let now = self.shared.effects.clock.now();
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, report::report(session.connection(), &reports, now)).await;
        session.settle(result)
    }

    async fn purge(&self, before: UnixMillis) -> Result<bool, EngineError> {
        self.retain(before).await
    }

    async fn backlog(&self) -> Result<Backlog, EngineError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, backlog(session.connection())).await;
        session.settle(result)
    }
}

impl Engine {
    /// Records, and cuts partitions where none takes the rows.
    async fn record_surely(&self, outcomes: &[Outcome]) -> Result<Vec<Verdict>, EngineError> {
        if let Some(verdicts) = self.try_record(outcomes).await? {
            return Ok(verdicts);
        }
        self.cut_slices().await?;
        Ok(self.try_record(outcomes).await?.ok_or(Failure::NoPartition)?)
    }

    /// Remembers which outcomes may be recorded though their caller was told of a failure, until they are recorded.
    fn note_doubt(&self, outcomes: &[Outcome], verdicts: &Result<Vec<Verdict>, EngineError>) {
        let mut doubted = self.shared.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        for outcome in outcomes {
            if let Outcome::Decided(decided) = outcome {
                if verdicts.is_err() {
                    doubted.insert(decided.message.id);
                } else {
                    doubted.remove(&decided.message.id);
                }
            }
        }
    }

    /// Of these outcomes, the requests that an earlier call may have recorded.
    fn doubted(&self, outcomes: &[Outcome]) -> HashSet<Uuid> {
        let doubted = self.shared.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        if doubted.is_empty() {
            return HashSet::new();
        }
        let of = |outcome: &Outcome| match outcome {
            Outcome::Decided(decided) if doubted.contains(&decided.message.id) => {
                Some(uuid(&decided.message.id))
            }
            _ => None,
        };
        outcomes.iter().filter_map(of).collect()
    }

    /// Records, unless no partition takes the rows.
    async fn try_record(&self, outcomes: &[Outcome]) -> Result<Option<Vec<Verdict>>, EngineError> {
        let now = self.shared.effects.clock.now();
        let ours = Ours { doubted: self.doubted(outcomes), lease: self.shared.settings.callback_lease };
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, record::record(session.connection(), outcomes, &ours, now)).await;
        match result {
            Err(failure) if failure.class() == Class::NoPartition => Ok(None),
            result => session.settle(result).map(Some),
        }
    }
}

/// Counts no more than $1 of each. Beyond that it takes what the server believed when it last looked.
const BACKLOG: &str = "SELECT \
    CASE WHEN pending < $1 THEN pending ELSE greatest(pending, ( \
        SELECT reltuples::bigint FROM pg_class WHERE oid = 'callback'::regclass)) END AS in_flight, \
    CASE WHEN lost < $1 THEN lost ELSE greatest(lost, ( \
        SELECT sum(greatest(reltuples, 0))::bigint FROM pg_inherits JOIN pg_class ON oid = inhrelid \
        WHERE inhparent = 'attempt_dead'::regclass)) END AS dead \
    FROM (SELECT count(*) AS pending FROM (SELECT FROM callback LIMIT $1) AS callback) AS pending, \
    (SELECT count(*) AS lost FROM (SELECT FROM attempt WHERE give_up IS NOT NULL LIMIT $1) AS attempt) AS lost";

async fn backlog(connection: &mut PgConnection) -> Result<Backlog, Failure> {
    const COUNTED: i64 = 10_000;
    let row = sqlx::query(BACKLOG).bind(COUNTED).fetch_one(connection).await?;
    Ok(Backlog { in_flight: count(&row, "in_flight")?, dead: count(&row, "dead")? })
}
