//! Fair share of claims between hosts.
//!
//! Clients choose the hosts: neither a host with a long backlog nor a million hosts with nothing due may slow down the
//! others. So a search first reads a bounded number of the callbacks that have been due longest. If those are all that
//! is due, their hosts are the candidates. Otherwise it steps from host to host in the index (a loose index scan) up to
//! a limit, and the next search continues where it ended. Hosts at their limit are skipped.

use std::collections::HashSet;

use super::ClaimLimits;

/// Maximum number of oldest callbacks read for their hosts.
const MAX_OLDEST: i64 = 1000;
/// Maximum number of oldest callbacks read while hosts are paused, whose callbacks stay the oldest for a long time.
const MAX_OLDEST_PAUSED: i64 = 10_000;
/// Maximum number of hosts that one search scans.
const MAX_SCANNED: i64 = 2000;
/// An upper bound of all host names.
const MAX_HOST: &str = "\u{10ffff}";

/// Indexes of pending callbacks, by due time and by host.
pub trait DueIndex: Send {
    /// Error of the index.
    type Error: Send;

    /// Returns the hosts of the `most` callbacks that have been due longest, each with its number of them.
    fn oldest(&mut self, most: i64) -> impl Future<Output = Result<Vec<(String, i64)>, Self::Error>> + Send;

    /// Scans hosts by name.
    ///
    /// Returns the hosts that have a due callback and are not at their limit, and the host at which the scan ended;
    /// that one has no name if there are no further hosts.
    fn step(
        &mut self,
        walk: HostScan<'_>,
    ) -> impl Future<Output = Result<Vec<ScannedHost>, Self::Error>> + Send;
}

/// Range and limits of a scan over hosts.
#[derive(Clone, Copy, Debug)]
pub struct HostScan<'a> {
    /// Lower bound of the names, exclusive.
    pub after: &'a str,
    /// Upper bound of the names, inclusive.
    pub upto: &'a str,
    /// Maximum number of scanned hosts.
    pub steps: i64,
    /// Maximum number of hosts with a due callback.
    pub most: i64,
}

/// A host in the result of a scan.
#[derive(Clone, Debug)]
pub struct ScannedHost {
    /// The name.
    pub host: Option<String>,
    /// Its position in the scan, from 1.
    pub number: i64,
    /// Set if it has a due callback and is not at its limit.
    pub due: bool,
}

/// Result of a search.
pub struct DueHosts {
    /// Hosts in the order in which they are served.
    pub hosts: Vec<String>,
    /// Start of the next search, if this one did not visit every host.
    pub ended_at: Option<String>,
}

/// Searches for hosts with due callbacks, as many as may be claimed at most by a scan that begins after `last` in the order
/// of names. Paused hosts are not found among the oldest callbacks; a scan leaves them out if the index does.
///
/// # Errors
/// An error of the index.
pub async fn find_due_hosts<I: DueIndex>(
    index: &mut I,
    last: &str,
    limits: &ClaimLimits,
) -> Result<DueHosts, I::Error> {
    let paused = limits.paused_hosts();
    let window = if paused.is_empty() { MAX_OLDEST } else { MAX_OLDEST_PAUSED };
    let rows = index.oldest(window).await?;
    let seen: i64 = rows.iter().map(|(_, callbacks)| callbacks).sum();
    let hosts = rows.into_iter().map(|(host, _)| host);
    let mut oldest: Vec<String> = hosts.filter(|host| !paused.contains(host.as_str())).collect();
    if seen < window {
        oldest.sort_unstable();
        let next = oldest.partition_point(|host| host.as_str() <= last);
        oldest.rotate_left(next);
        return Ok(DueHosts { hosts: oldest, ended_at: None });
    }
    let most = i64::try_from(limits.total).unwrap_or(i64::MAX);
    let mut found = scan_hosts(index, last, most).await?;
    // The scanned hosts come first: the oldest callbacks may belong to the same few hosts each time.
    let mut known: HashSet<String> = found.hosts.iter().cloned().collect();
    found.hosts.extend(oldest.into_iter().filter(|host| known.insert(host.clone())));
    Ok(found)
}

/// Scans the hosts after `last`, and then those up to it.
async fn scan_hosts<I: DueIndex>(index: &mut I, last: &str, most: i64) -> Result<DueHosts, I::Error> {
    let mut hosts = Vec::new();
    let mut steps = MAX_SCANNED;
    for (after, upto) in [(last, MAX_HOST), ("", last)] {
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

/// A host's share of one claim.
#[derive(Clone, Debug)]
pub struct HostShare {
    /// The name.
    pub host: String,
    /// Maximum share.
    pub free: usize,
    /// Number of callbacks to claim.
    pub share: usize,
}

/// Distributes `total` callbacks over the hosts in turns. Returns the host that got the last one.
pub fn assign_shares(turns: &mut [HostShare], mut total: usize) -> Option<&str> {
    let mut last = None;
    loop {
        let before = total;
        for (at, turn) in turns.iter_mut().enumerate() {
            if total > 0 && turn.share < turn.free {
                turn.share += 1;
                total -= 1;
                last = Some(at);
            }
        }
        if total == before {
            return last.and_then(|last| turns.get(last)).map(|turn| turn.host.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts with a number of due callbacks each, the oldest first.
    struct FakeIndex {
        due: Vec<(String, i64)>,
        scans: u32,
    }

    impl DueIndex for FakeIndex {
        type Error = std::convert::Infallible;

        async fn oldest(&mut self, mut most: i64) -> Result<Vec<(String, i64)>, Self::Error> {
            let mut rows = Vec::new();
            for (host, callbacks) in &self.due {
                let read = most.min(*callbacks);
                most -= read;
                if read > 0 {
                    rows.push((host.clone(), read));
                }
            }
            Ok(rows)
        }

        async fn step(&mut self, _: HostScan<'_>) -> Result<Vec<ScannedHost>, Self::Error> {
            self.scans += 1;
            Ok(vec![ScannedHost { host: None, number: 1, due: false }])
        }
    }

    #[tokio::test]
    async fn a_paused_host_with_a_long_backlog_causes_no_scan() {
        for (backlog, paused, scanned) in [
            (1_000, &["paused.example"][..], false),
            (9_998, &["paused.example"], false),
            (9_999, &["paused.example"], true),
            (1_000, &[], true),
        ] {
            let due = vec![("paused.example".to_owned(), backlog), ("a.example".to_owned(), 1)];
            let mut index = FakeIndex { due, scans: 0 };
            let under_way = paused.iter().map(|host| ((*host).into(), ClaimLimits::PAUSED)).collect();
            let limits = ClaimLimits { total: 10, per_host: 10, under_way };
            let found = find_due_hosts(&mut index, "", &limits).await.unwrap();
            assert_eq!(index.scans > 0, scanned, "{backlog} {paused:?}");
            let expected = found.hosts.iter().any(|host| host == "a.example");
            assert!(expected || paused.is_empty(), "{backlog}");
            assert!(found.hosts.iter().all(|host| !paused.contains(&host.as_str())));
        }
    }

    #[test]
    fn hosts_take_turns_up_to_their_limits() {
        let check = |free: &[usize], total, expected: &[usize], last: Option<&str>| {
            let turn =
                |(at, free): (usize, &usize)| HostShare { host: at.to_string(), free: *free, share: 0 };
            let mut turns: Vec<_> = free.iter().enumerate().map(turn).collect();
            assert_eq!(assign_shares(&mut turns, total), last, "{free:?} {total}");
            assert_eq!(turns.iter().map(|turn| turn.share).collect::<Vec<_>>(), expected, "{free:?} {total}");
        };
        check(&[], 5, &[], None);
        check(&[3, 3], 0, &[0, 0], None);
        check(&[3, 3], 1, &[1, 0], Some("0"));
        check(&[3, 3, 3], 5, &[2, 2, 1], Some("1"));
        check(&[1, 9, 0, 2], 7, &[1, 4, 0, 2], Some("1"));
        check(&[1, 2], usize::MAX, &[1, 2], Some("1"));
    }
}
