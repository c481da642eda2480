//! Implementation of the store.

use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::RequestId;

use super::claim::Claim;
use super::keys::count;
use super::purge::Purge;
use super::record::Record;
use super::report::{ReleaseCallbacks, Report};
use super::{SqliteEngine, claim};
use chargegate_storage::StoreError;
use chargegate_storage::store::{
    AttemptReport, CallbackBacklog, CallbackJob, ClaimLimits, Outcome, RecordVerdict, Store,
};

#[async_trait]
impl Store for SqliteEngine {
    async fn record(&self, outcomes: &[Outcome]) -> Result<Vec<RecordVerdict>, StoreError> {
        Ok(self.write(Record { outcomes: outcomes.to_vec() }).await?)
    }

    async fn claim(&self, limits: ClaimLimits) -> Result<Vec<CallbackJob>, StoreError> {
        let readers = &self.shared.readers;
        // Held until the leases are written, so that two claims do not find the same callbacks.
        let mut turn = self.shared.turn.lock().await;
        let now = self.shared.effects.clock.now();
        let found = claim::search(readers, now, &limits, &turn).await.map_err(read_failure)?;
        if let Some(last) = found.last {
            *turn = last;
        }
        if found.ids.is_empty() {
            return Ok(Vec::new());
        }
        let claimed = self.write(Claim { ids: found.ids }).await?;
        drop(turn);
        claim::load_jobs(readers, claimed).await.map_err(read_failure)
    }

    async fn release(&self, jobs: Vec<(RequestId, NonZeroU32)>) -> Result<(), StoreError> {
        Ok(self.write(ReleaseCallbacks { jobs }).await?)
    }

    async fn report(&self, reports: &[AttemptReport]) -> Result<(), StoreError> {
        Ok(self.write(Report { reports: reports.to_vec() }).await?)
    }

    async fn purge(&self, older_than: Duration) -> Result<bool, StoreError> {
        Ok(self.write(Purge { older_than }).await?)
    }

    async fn backlog(&self) -> Result<CallbackBacklog, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM callback WHERE state = 'pending') AS in_flight, \
             (SELECT count(*) FROM callback WHERE state = 'dead') AS dead",
        )
        .fetch_one(&self.shared.readers)
        .await
        .map_err(read_failure)?;
        let number = |column| count(&row, column).map_err(read_failure);
        Ok(CallbackBacklog { in_flight: number("in_flight")?, dead: number("dead")? })
    }
}

pub(super) fn read_failure(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        error => StoreError::Unavailable(Box::<dyn Error + Send + Sync>::from(error)),
    }
}
