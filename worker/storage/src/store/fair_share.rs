//! Which hosts have their turn.
//!
//! A host with a long backlog must cost the others nothing, and neither may a million hosts with nothing due: clients
//! choose the hosts. So a search first looks at the callbacks that have been due longest, so many at most. Where that is
//! all that is due, their hosts are all that can have a turn. Otherwise it steps from host to host in the index (a loose
//! index scan), over so many at most, and the next search goes on where it ended. Hosts that are at their limit are
//! skipped.

use std::collections::HashSet;

/// Callbacks looked at for their hosts.
const WINDOW: i64 = 1000;
/// Hosts stepped over.
const STEPS: i64 = 2000;
/// The name of no host, and greater than each.
const BEHIND_ALL: &str = "\u{10ffff}";

/// Indexes of pending callbacks, by due time and by host.
pub trait DueIndex: Send {
    /// Error of the index.
    type Error: Send;

    /// Returns the hosts of the `most` callbacks that have been due longest, each with its number of them.
    fn oldest(&mut self, most: i64) -> impl Future<Output = Result<Vec<(String, i64)>, Self::Error>> + Send;

    /// Steps over hosts in the order of their names.
    ///
    /// Gives those that have something due and are not at their limit; and the one it ended at, or one without a name
    /// where there are no more.
    fn step(
        &mut self,
        walk: HostScan<'_>,
    ) -> impl Future<Output = Result<Vec<ScannedHost>, Self::Error>> + Send;
}

/// Which hosts to step over.
#[derive(Clone, Copy, Debug)]
pub struct HostScan<'a> {
    /// The names behind this one,
    pub after: &'a str,
    /// up to and with this one,
    pub upto: &'a str,
    /// so many at most,
    pub steps: i64,
    /// until so many have something due.
    pub most: i64,
}

/// A host that was stepped on.
#[derive(Clone, Debug)]
pub struct ScannedHost {
    /// Its name.
    pub host: Option<String>,
    /// The number of the step, from 1 on.
    pub number: i64,
    /// Whether it may have a turn.
    pub due: bool,
}

/// Result of a search.
pub struct DueHosts {
    /// Hosts in the order in which they are served.
    pub hosts: Vec<String>,
    /// Start of the next search, if this one did not visit every host.
    pub ended_at: Option<String>,
}

/// Searches for hosts with due callbacks, at most `most` of them by a scan that begins after `last` in the order of names.
///
/// # Errors
/// An error of the index.
pub async fn find_due_hosts<I: DueIndex>(index: &mut I, last: &str, most: i64) -> Result<DueHosts, I::Error> {
    let rows = index.oldest(WINDOW).await?;
    let seen: i64 = rows.iter().map(|(_, callbacks)| callbacks).sum();
    let mut oldest: Vec<String> = rows.into_iter().map(|(host, _)| host).collect();
    if seen < WINDOW {
        oldest.sort_unstable();
        let next = oldest.partition_point(|host| host.as_str() <= last);
        oldest.rotate_left(next);
        return Ok(DueHosts { hosts: oldest, ended_at: None });
    }
    let mut found = scan_hosts(index, last, most).await?;
    // The walk's hosts come first: what was due longest may be a few hosts' again and again.
    let mut known: HashSet<String> = found.hosts.iter().cloned().collect();
    found.hosts.extend(oldest.into_iter().filter(|host| known.insert(host.clone())));
    Ok(found)
}

/// Steps from host to host, from the one after `last` on and round to it again.
async fn scan_hosts<I: DueIndex>(index: &mut I, last: &str, most: i64) -> Result<DueHosts, I::Error> {
    let mut hosts = Vec::new();
    let mut steps = STEPS;
    for (after, upto) in [(last, BEHIND_ALL), ("", last)] {
        let missing = most.saturating_sub(i64::try_from(hosts.len()).unwrap_or(i64::MAX));
        let (mut ended_at, mut left) = (None, 0);
        for step in index.step(HostScan { after, upto, steps, most: missing }).await? {
            left = steps.saturating_sub(step.number);
            if step.due {
                hosts.extend(step.host.clone());
            }
            ended_at = step.host;
        }
        if ended_at.is_some() {
            return Ok(DueHosts { hosts, ended_at });
        }
        steps = left.max(1);
    }
    Ok(DueHosts { hosts, ended_at: None })
}
