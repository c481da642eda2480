//! Resource usage of processes, from Linux's `/proc`.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// Unit of processor times in `/proc`.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// Resource usage of one or several processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessUsage {
    pub(crate) cpu: Duration,
    /// Maximum resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Sub for ProcessUsage {
    type Output = Self;

    /// Returns the usage since `earlier`; memory is not a difference.
    fn sub(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), memory: self.memory }
    }
}

/// Returns the usage of a process up to now.
pub(crate) fn usage(id: u32) -> Option<ProcessUsage> {
    let stat = ProcStat::read(id)?;
    Some(ProcessUsage { cpu: stat.own, memory: status(id, "VmHWM:")? })
}

/// Returns the usage of a process and its children up to now, including those that ended. Memory is the current one, with
/// shared memory counted once.
pub(crate) fn usage_of_family(id: u32) -> Option<ProcessUsage> {
    let parent = ProcStat::read(id)?;
    let mut family = ProcessUsage { cpu: parent.own + parent.ended, memory: status(id, "RssAnon:")? };
    let mut shared = status(id, "RssShmem:")?;
    for child in children(id) {
        // A child that has just ended is counted with its parent the next time.
        let Some(stat) = ProcStat::read(child) else { continue };
        family.cpu += stat.own + stat.ended;
        family.memory += status(child, "RssAnon:").unwrap_or(0);
        shared = shared.max(status(child, "RssShmem:").unwrap_or(0));
    }
    family.memory += shared;
    Some(family)
}

/// Returns the id of a process's parent.
pub(crate) fn parent(id: u32) -> Option<u32> {
    ProcStat::read(id).map(|stat| stat.parent)
}

/// Returns the load average of the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn children(id: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Returns a field of `/proc/ID/status`, in bytes.
fn status(id: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

#[derive(Debug, PartialEq, Eq)]
struct ProcStat {
    parent: u32,
    own: Duration,
    /// Time of the children that ended.
    ended: Duration,
}

impl ProcStat {
    fn read(id: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// Parses the fields after the process name: state, parent, and from the twelfth on the times. The name in brackets may
    /// contain any character.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok().map(|ticks| CLOCK_TICK * ticks);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            ended: ticks(13)? + ticks(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_after_any_name() {
        let text = "41 (a) b (c) S 7 41 41 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        let expected =
            ProcStat { parent: 7, own: Duration::from_millis(1_200), ended: Duration::from_millis(70) };
        assert_eq!(ProcStat::parse(text), Some(expected));
        assert_eq!(ProcStat::parse("41 (a) S 7 41"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let id = std::process::id();
        assert!(usage(id).is_some_and(|usage| usage.memory > 100_000));
        assert!(usage_of_family(id).is_some_and(|usage| usage.memory > 100_000));
        assert!(parent(id).is_some());
    }
}
