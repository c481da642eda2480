//! Queries over the indexes of pending callbacks.

use chargegate_core::UnixMillis;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::keys::millis;
use chargegate_storage::store::fair_share::{DueIndex, HostScan, ScannedHost};

/// The hosts of the ?2 callbacks that have been due longest at ?1, with how many each has of them.
pub(crate) const OLDEST: &str = "SELECT host, count(*) AS callbacks FROM ( \
        SELECT host, due_at FROM callback WHERE state = 'pending' AND due_at <= ?1 ORDER BY due_at LIMIT ?2) \
    GROUP BY host ORDER BY min(due_at), host";

/// Scans the hosts after ?1 up to and including ?2 by name, ?5 at most. Returns at most ?6 hosts with a callback due at
/// ?3 that are not in the JSON array ?4, and the host at which the scan ended; NULL if there are no further hosts.
pub(crate) const STEP: &str = "WITH RECURSIVE walk (host, step) AS ( \
        SELECT (SELECT min(host) FROM callback WHERE state = 'pending' AND host > ?1 AND host <= ?2), 1 \
        UNION ALL \
        SELECT (SELECT min(host) FROM callback WHERE state = 'pending' AND host > walk.host AND host <= ?2), \
            step + 1 \
        FROM walk WHERE walk.host IS NOT NULL AND step < ?5), \
    turn AS ( \
        SELECT host, step, host IS NOT NULL AND host NOT IN (SELECT value FROM json_each(?4)) \
            AND (SELECT min(due_at) FROM callback WHERE state = 'pending' AND host = walk.host) <= ?3 AS due \
        FROM walk) \
    SELECT host, step, due FROM turn WHERE due OR host IS NULL OR step = ?5 LIMIT ?6";

/// The callbacks due at one moment, read from the file.
pub(super) struct SqliteDueIndex<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) now: UnixMillis,
    /// Hosts at their limit, as a JSON array.
    pub(super) saturated: String,
}

impl DueIndex for SqliteDueIndex<'_> {
    type Error = sqlx::Error;

    async fn oldest(&mut self, most: i64) -> Result<Vec<(String, i64)>, sqlx::Error> {
        sqlx::query_as(OLDEST).bind(millis(self.now)).bind(most).fetch_all(&mut *self.connection).await
    }

    async fn step(&mut self, walk: HostScan<'_>) -> Result<Vec<ScannedHost>, sqlx::Error> {
        let step = |row: SqliteRow| {
            Ok(ScannedHost {
                host: row.try_get("host")?,
                number: row.try_get("step")?,
                due: row.try_get("due")?,
            })
        };
        sqlx::query(STEP)
            .bind(walk.after)
            .bind(walk.upto)
            .bind(millis(self.now))
            .bind(&self.saturated)
            .bind(walk.steps)
            .bind(walk.most)
            .try_map(step)
            .fetch_all(&mut *self.connection)
            .await
    }
}
