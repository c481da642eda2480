//! Requests at their planned times, directly into the queue.

use std::time::Duration;

use chargegate_redis_layout::{STREAM_FIELD, stream_key};
use redis::aio::MultiplexedConnection;
use tokio::time::{MissedTickBehavior, interval};

use super::outcomes::OutcomeLedger;
use crate::error::LoadError;
use crate::fill::message;
use crate::ledger::SubmitOutcome;

/// Interval at which the messages that are due are enqueued.
const FEED_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum number of messages in a pipeline.
const MAX_BATCH: u64 = 1_000;

/// Enqueues a message for each request of the ledger at its planned time, independently of earlier ones; `begin` is the
/// planned time of the first in milliseconds since 1970.
///
/// # Errors
/// Returns an error if the server refuses a message, or a message cannot be created.
pub(crate) async fn feed(
    mut redis: MultiplexedConnection,
    prefix: &str,
    ledger: &OutcomeLedger,
    callback_url: &str,
    begin: u64,
) -> Result<(), LoadError> {
    let key = stream_key(prefix);
    let requests = &ledger.requests;
    let mut ticks = interval(FEED_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = 0;
    while next < requests.requests() {
        ticks.tick().await;
        loop {
            let now = tokio::time::Instant::now();
            let most = (next + MAX_BATCH).min(requests.requests());
            let end = (next..most).find(|number| requests.planned(*number) > now).unwrap_or(most);
            if end == next {
                break;
            }
            let mut batch = redis::pipe();
            for number in next..end {
                let accepted_at = begin + u64::try_from(requests.offset(number).as_millis()).unwrap_or(0);
                let text = message(number, callback_url, accepted_at).ok_or(LoadError::Message)?.encode();
                batch.cmd("XADD").arg(&key).arg("*").arg(STREAM_FIELD).arg(text).ignore();
            }
            batch.query_async::<()>(&mut redis).await?;
            for number in next..end {
                requests.answered(number, SubmitOutcome::Accepted);
            }
            next = end;
        }
    }
    Ok(())
}
