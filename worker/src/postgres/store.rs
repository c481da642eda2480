//! The engine as a store.

use std::num::NonZeroU32;

use async_trait::async_trait;
use chargegate_core::{RequestId, UnixMillis};
use sqlx::PgConnection;

use super::failure::{Class, Failure};
use super::record::{self, Verdict};
use super::rows::{count, millis};
use super::sessions::until;
use super::{Engine, claim, report};
use crate::error::EngineError;
use crate::store::{AttemptReport, Backlog, CallbackJob, ClaimLimits, Outcome, Recorded, Store};

#[async_trait]
impl Store for Engine {
    async fn record(&self, outcomes: Vec<Outcome>) -> Result<Vec<Recorded>, EngineError> {
        let verdicts = if let Some(verdicts) = self.try_record(&outcomes).await? {
            verdicts
        } else {
            self.cut_slices().await?;
            self.try_record(&outcomes).await?.ok_or(Failure::NoPartition)?
        };
        Ok(outcomes
            .into_iter()
            .zip(verdicts)
            .map(|(outcome, verdict)| record::recorded(outcome, verdict))
            .collect())
    }

    async fn claim(&self, now: UnixMillis, limits: ClaimLimits) -> Result<Vec<CallbackJob>, EngineError> {
        self.keep_slices_ahead().await?;
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
    /// Records, unless no partition takes the rows.
    async fn try_record(&self, outcomes: &[Outcome]) -> Result<Option<Vec<Verdict>>, EngineError> {
        let now = self.shared.effects.clock.now();
        let lease = self.shared.settings.callback_lease;
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, record::record(session.connection(), outcomes, lease, now)).await;
        match result {
            Err(failure) if failure.class() == Class::NoPartition => Ok(None),
            result => session.settle(result).map(Some),
        }
    }
}

async fn backlog(connection: &mut PgConnection) -> Result<Backlog, Failure> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM callback) AS in_flight, \
         (SELECT count(*) FROM attempt WHERE give_up IS NOT NULL) AS dead",
    )
    .fetch_one(connection)
    .await?;
    Ok(Backlog { in_flight: count(&row, "in_flight")?, dead: count(&row, "dead")? })
}
