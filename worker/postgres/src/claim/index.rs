//! The indexes of pending callbacks.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::failure::PostgresFailure;
use chargegate_storage::store::fair_share::{DueIndex, HostScan, ScannedHost};

/// Hosts of the $1 callbacks that have been due longest, each with its number of them.
const OLDEST: &str = "SELECT host, count(*) AS callbacks FROM ( \
        SELECT host, due_at FROM callback WHERE due_at <= (SELECT clock()) ORDER BY due_at LIMIT $1) AS oldest \
    GROUP BY host ORDER BY min(due_at), host";

/// Scans at most $4 hosts after $1 up to and including $2, in the order of their names. Returns at most $5 hosts that have a
/// due callback and are not in $3, and the host at which the scan ended, or NULL at the end of the index.
const STEP: &str = "WITH RECURSIVE walk (host, step) AS ( \
        (SELECT (SELECT host FROM callback WHERE host > $1 AND host <= $2 ORDER BY host LIMIT 1), 1::bigint) \
        UNION ALL \
        SELECT (SELECT host FROM callback WHERE host > walk.host AND host <= $2 ORDER BY host LIMIT 1), step + 1 \
        FROM walk WHERE walk.host IS NOT NULL AND step < $4), \
    turn AS ( \
        SELECT host, step, host IS NOT NULL AND host <> ALL ($3::text[]) \
            AND EXISTS (SELECT FROM callback WHERE host = walk.host AND due_at <= (SELECT clock())) AS due \
        FROM walk) \
    SELECT host, step, due FROM turn WHERE due OR host IS NULL OR step = $4 LIMIT $5";

/// Index of due callbacks in the database.
pub(super) struct PostgresDueIndex<'a> {
    pub(super) connection: &'a mut PgConnection,
    /// Hosts at their limit.
    pub(super) saturated: Vec<&'a str>,
}

impl DueIndex for PostgresDueIndex<'_> {
    type Error = PostgresFailure;

    async fn oldest(&mut self, most: i64) -> Result<Vec<(String, i64)>, PostgresFailure> {
        let oldest = sqlx::query_as(OLDEST).bind(most);
        Ok(oldest.fetch_all(&mut *self.connection).await?)
    }

    async fn step(&mut self, walk: HostScan<'_>) -> Result<Vec<ScannedHost>, PostgresFailure> {
        let step = |row: PgRow| {
            Ok(ScannedHost {
                host: row.try_get("host")?,
                number: row.try_get("step")?,
                due: row.try_get("due")?,
            })
        };
        let steps = sqlx::query(STEP)
            .bind(walk.after)
            .bind(walk.upto)
            .bind(&self.saturated)
            .bind(walk.steps)
            .bind(walk.most)
            .try_map(step);
        Ok(steps.fetch_all(&mut *self.connection).await?)
    }
}
