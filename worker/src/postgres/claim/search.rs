//! Which hosts have their turn.
//!
//! A host with a long backlog must cost the others nothing, and neither may a million hosts with nothing due: clients
//! choose the hosts. So a search first looks at the callbacks that have been due longest, so many at most. Where that is
//! all that is due, their hosts are all that can have a turn. Otherwise it steps from host to host in the index (a loose
//! index scan), over so many at most, and the next search goes on where it ended. Hosts that are at their limit are
//! skipped.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _};

use crate::postgres::failure::Failure;

/// Callbacks looked at for their hosts.
const WINDOW: i64 = 1000;
/// Hosts stepped over.
const STEPS: i64 = 2000;
/// The name of no host, and greater than each.
const BEHIND_ALL: &str = "\u{10ffff}";

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

/// A search for hosts that have something due.
pub(super) struct Search<'a> {
    /// Due so many milliseconds from now.
    pub(super) ahead: i64,
    /// Hosts at their limit.
    pub(super) saturated: Vec<&'a str>,
    /// Hosts wanted from a walk.
    pub(super) most: i64,
}

/// What a search found.
pub(super) struct Found {
    /// In the order of their turns.
    pub(super) hosts: Vec<String>,
    /// Where the next search goes on, if this one did not see all.
    pub(super) ended_at: Option<String>,
}

impl Search<'_> {
    /// Looks for them, beginning with the first after `last` in the order of their names.
    pub(super) async fn run(&self, connection: &mut PgConnection, last: &str) -> Result<Found, Failure> {
        let rows = sqlx::query(OLDEST).bind(self.ahead).bind(WINDOW).fetch_all(&mut *connection).await?;
        let (mut oldest, mut seen) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            oldest.push(row.try_get::<String, _>("host")?);
            seen += row.try_get::<i64, _>("callbacks")?;
        }
        if seen < WINDOW {
            oldest.sort_unstable();
            let next = oldest.partition_point(|host| host.as_str() <= last);
            oldest.rotate_left(next);
            return Ok(Found { hosts: oldest, ended_at: None });
        }
        let mut found = self.walk(connection, last).await?;
        // The walk's hosts come first: what was due longest may be a few hosts' again and again.
        let mut known: HashSet<String> = found.hosts.iter().cloned().collect();
        found.hosts.extend(oldest.into_iter().filter(|host| known.insert(host.clone())));
        Ok(found)
    }

    /// Steps from host to host, from the one after `last` on and round to it again.
    async fn walk(&self, connection: &mut PgConnection, last: &str) -> Result<Found, Failure> {
        let mut hosts = Vec::new();
        let mut steps = STEPS;
        for (after, upto) in [(last, BEHIND_ALL), ("", last)] {
            let missing = self.most.saturating_sub(i64::try_from(hosts.len()).unwrap_or(i64::MAX));
            let rows = sqlx::query(STEP)
                .bind(after)
                .bind(upto)
                .bind(self.ahead)
                .bind(&self.saturated)
                .bind(steps)
                .bind(missing)
                .fetch_all(&mut *connection)
                .await?;
            let (mut ended_at, mut left) = (None, 0);
            for row in &rows {
                ended_at = row.try_get::<Option<String>, _>("host")?;
                left = steps.saturating_sub(row.try_get("step")?);
                if row.try_get("due")? {
                    hosts.extend(ended_at.clone());
                }
            }
            if ended_at.is_some() {
                return Ok(Found { hosts, ended_at });
            }
            steps = left.max(1);
        }
        Ok(Found { hosts, ended_at: None })
    }
}
