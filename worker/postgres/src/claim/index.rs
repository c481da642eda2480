//! The indexes of pending callbacks.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::failure::Failure;
use chargegate_storage::store::turns::{DueIndex, Step, Walk};

/// The hosts of the $2 callbacks that have been due longest, with how many each has of them: $1 ms later than now by
/// the database's clock.
const OLDEST: &str = "SELECT host, count(*) AS callbacks FROM ( \
        SELECT host, due_at FROM callback WHERE due_at <= (SELECT clock()) + $1 ORDER BY due_at LIMIT $2) AS oldest \
    GROUP BY host ORDER BY min(due_at), host";

/// Steps over the hosts after $1, up to and with $2, in the order of their names, over $5 at most. Gives those with
/// something due $3 ms later than now, without the hosts in $4, $6 at most; and the one it ended at, or none where there
/// are no more.
const STEP: &str = "WITH RECURSIVE walk (host, step) AS ( \
        (SELECT (SELECT host FROM callback WHERE host > $1 AND host <= $2 ORDER BY host LIMIT 1), 1::bigint) \
        UNION ALL \
        SELECT (SELECT host FROM callback WHERE host > walk.host AND host <= $2 ORDER BY host LIMIT 1), step + 1 \
        FROM walk WHERE walk.host IS NOT NULL AND step < $5), \
    turn AS ( \
        SELECT host, step, host IS NOT NULL AND host <> ALL ($4::text[]) \
            AND EXISTS (SELECT FROM callback WHERE host = walk.host AND due_at <= (SELECT clock()) + $3) AS due \
        FROM walk) \
    SELECT host, step, due FROM turn WHERE due OR host IS NULL OR step = $5 LIMIT $6";

/// What is due at a moment, as it stands in the database.
pub(super) struct Index<'a> {
    pub(super) connection: &'a mut PgConnection,
    /// Due so many milliseconds from now.
    pub(super) ahead: i64,
    /// Hosts at their limit.
    pub(super) saturated: Vec<&'a str>,
}

impl DueIndex for Index<'_> {
    type Error = Failure;

    async fn oldest(&mut self, most: i64) -> Result<Vec<(String, i64)>, Failure> {
        let oldest = sqlx::query_as(OLDEST).bind(self.ahead).bind(most);
        Ok(oldest.fetch_all(&mut *self.connection).await?)
    }

    async fn step(&mut self, walk: Walk<'_>) -> Result<Vec<Step>, Failure> {
        let step = |row: PgRow| {
            Ok(Step { host: row.try_get("host")?, number: row.try_get("step")?, due: row.try_get("due")? })
        };
        let steps = sqlx::query(STEP)
            .bind(walk.after)
            .bind(walk.upto)
            .bind(self.ahead)
            .bind(&self.saturated)
            .bind(walk.steps)
            .bind(walk.most)
            .try_map(step);
        Ok(steps.fetch_all(&mut *self.connection).await?)
    }
}
