//! Receiver hosts with their health and their backlog.

use chargegate_storage::operate::{HostSummaries, LastAnswer, ReceiverHostSummary};
use sqlx::Row as _;

use super::SqliteInspector;
use crate::keys::{count, moment};

const PENDING: &str =
    "SELECT host, count(*) AS callbacks FROM callback WHERE state = 'pending' GROUP BY host";
const DEAD: &str = "SELECT host, count(*) AS callbacks FROM callback \
    WHERE state = 'dead' AND give_up <> 'discarded' GROUP BY host";

/// The last answer of each host among its pending callbacks and the callbacks that finished last, ?1 of each.
const LAST_ANSWERS: &str = "WITH recent AS ( \
        SELECT * FROM (SELECT host, request_id FROM callback WHERE finished_at IS NOT NULL \
            ORDER BY finished_at DESC LIMIT ?1) \
        UNION ALL SELECT * FROM (SELECT host, request_id FROM callback WHERE state = 'pending' LIMIT ?1)) \
    SELECT host, max(started_at) AS started_at, result, http_status FROM recent CROSS JOIN attempt USING (request_id) \
    WHERE result <> 'discarded' GROUP BY host";

impl SqliteInspector {
    pub(super) async fn read_hosts(&self) -> Result<Vec<ReceiverHostSummary>, sqlx::Error> {
        const MAX_RECENT: i64 = 10_000;
        let mut snapshot = self.readers.begin().await?;
        let mut hosts = HostSummaries::default();
        for row in sqlx::query(PENDING).fetch_all(&mut *snapshot).await? {
            hosts.host(row.try_get("host")?).pending = count(&row, "callbacks")?;
        }
        for row in sqlx::query(DEAD).fetch_all(&mut *snapshot).await? {
            hosts.host(row.try_get("host")?).dead = count(&row, "callbacks")?;
        }
        for row in
            sqlx::query("SELECT receiver, probes, probe_at FROM receiver").fetch_all(&mut *snapshot).await?
        {
            hosts.add_unavailable(
                row.try_get("receiver")?,
                count(&row, "probes")?,
                moment(&row, "probe_at")?,
            );
        }
        let paused = "SELECT host, paused_at FROM host_pause WHERE resumed_at IS NULL";
        for row in sqlx::query(paused).fetch_all(&mut *snapshot).await? {
            hosts.host(row.try_get("host")?).paused_at = Some(moment(&row, "paused_at")?);
        }
        for row in sqlx::query(LAST_ANSWERS).bind(MAX_RECENT).fetch_all(&mut *snapshot).await? {
            hosts.host(row.try_get("host")?).last_answer = Some(LastAnswer {
                at: moment(&row, "started_at")?,
                result: row.try_get("result")?,
                http_status: row.try_get("http_status")?,
            });
        }
        Ok(hosts.into_list())
    }
}
