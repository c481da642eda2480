//! Receiver hosts with their health and their backlog.

use chargegate_storage::operate::{HostSummaries, LastAnswer, ReceiverHostSummary};
use sqlx::{PgConnection, Row as _};

use crate::failure::PostgresFailure;
use crate::rows::{count, moment};

const PENDING: &str = "SELECT host, count(*) AS callbacks FROM callback GROUP BY host";
const DEAD: &str = "SELECT callback_host(callback_url) AS host, count(*) AS callbacks \
    FROM attempt JOIN decision USING (recorded_at, request_id) \
    WHERE give_up <> 'discarded' AND NOT EXISTS (SELECT FROM time_partition \
        WHERE attempt.recorded_at >= begins_at AND attempt.recorded_at < ends_at \
        AND (attempt.recorded_at, attempt.request_id) <= (expired_until, expired_until_id)) \
    GROUP BY callback_host(callback_url)";

/// The last answer of each host among its pending callbacks and the callbacks that were decided last, $1 of each.
const LAST_ANSWERS: &str = "WITH recent AS MATERIALIZED ( \
        (SELECT recorded_at, request_id FROM decision ORDER BY recorded_at DESC, request_id DESC LIMIT $1) \
        UNION (SELECT recorded_at, request_id FROM callback LIMIT $1)) \
    SELECT DISTINCT ON (host) callback_host(callback_url) AS host, started_at, result, http_status \
    FROM recent JOIN decision USING (recorded_at, request_id) JOIN attempt USING (recorded_at, request_id) \
    WHERE result <> 'discarded' ORDER BY host, started_at DESC";

pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<ReceiverHostSummary>, PostgresFailure> {
    const MAX_RECENT: i64 = 10_000;
    let mut hosts = HostSummaries::default();
    for row in sqlx::query(PENDING).fetch_all(&mut *connection).await? {
        hosts.host(row.try_get("host")?).pending = count(&row, "callbacks")?;
    }
    for row in sqlx::query(DEAD).fetch_all(&mut *connection).await? {
        hosts.host(row.try_get("host")?).dead = count(&row, "callbacks")?;
    }
    let unavailable = "SELECT receiver, probes::bigint AS probes, probe_at FROM receiver";
    for row in sqlx::query(unavailable).fetch_all(&mut *connection).await? {
        hosts.add_unavailable(row.try_get("receiver")?, count(&row, "probes")?, moment(&row, "probe_at")?);
    }
    let paused = "SELECT host, paused_at FROM host_pause WHERE resumed_at IS NULL";
    for row in sqlx::query(paused).fetch_all(&mut *connection).await? {
        hosts.host(row.try_get("host")?).paused_at = Some(moment(&row, "paused_at")?);
    }
    for row in sqlx::query(LAST_ANSWERS).bind(MAX_RECENT).fetch_all(&mut *connection).await? {
        let status: Option<i16> = row.try_get("http_status")?;
        hosts.host(row.try_get("host")?).last_answer = Some(LastAnswer {
            at: moment(&row, "started_at")?,
            result: row.try_get("result")?,
            http_status: status.and_then(|status| u16::try_from(status).ok()),
        });
    }
    Ok(hosts.into_list())
}
