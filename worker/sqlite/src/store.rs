//! Implementation of the store.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

use super::claim::Claim;
use super::keys::count;
use super::purge::Purge;
use super::receivers::{self, SyncReceivers, WakeCallbacks};
use super::record::Record;
use super::report::{ReleaseCallbacks, Report};
use super::{SqliteEngine, claim, pauses};
use chargegate_storage::StoreError;
use chargegate_storage::store::{
    AttemptReport, CallbackBacklog, CallbackJob, ClaimLimits, Outcome, RecordVerdict, ReleasedCallback,
    Store, UnavailableReceiver,
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
        let pauses = pauses::load(readers, now).await.map_err(read_failure)?;
        let limits = pauses.restrict(limits);
        let found = claim::search(readers, now, &limits, &turn).await.map_err(read_failure)?;
        if let Some(last) = found.last {
            *turn = last;
        }
        if found.ids.is_empty() {
            return Ok(Vec::new());
        }
        let claimed = self.write(Claim { ids: found.ids }).await?;
        drop(turn);
        let mut jobs = claim::load_jobs(readers, claimed).await.map_err(read_failure)?;
        pauses.adjust_ages(&mut jobs);
        Ok(jobs)
    }

    async fn release(&self, released: &[ReleasedCallback]) -> Result<(), StoreError> {
        Ok(self.write(ReleaseCallbacks { released: released.to_vec() }).await?)
    }

    async fn wake(&self, hosts: &[Box<str>]) -> Result<(), StoreError> {
        Ok(self.write(WakeCallbacks { hosts: hosts.to_vec() }).await?)
    }

    async fn backlogged_hosts(&self, hosts: &[Box<str>], limit: u32) -> Result<Vec<Box<str>>, StoreError> {
        receivers::backlogged(&self.shared.readers, hosts, limit).await.map_err(read_failure)
    }

    async fn sync_receivers(
        &self,
        unavailable: &[UnavailableReceiver],
        available: &[String],
    ) -> Result<Vec<UnavailableReceiver>, StoreError> {
        let sync = SyncReceivers { unavailable: unavailable.to_vec(), available: available.to_vec() };
        Ok(self.write(sync).await?)
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
             (SELECT count(*) FROM callback WHERE state = 'dead' AND give_up <> 'discarded') AS dead",
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
