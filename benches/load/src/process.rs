//! What processes use, as Linux tells it in `/proc`.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// Processor times in `/proc` are in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// What a process, or several, used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// The most resident bytes at once.
    pub(crate) memory: u64,
}

impl Sub for Usage {
    type Output = Self;

    /// What was used since `earlier`; memory has no since.
    fn sub(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), memory: self.memory }
    }
}

/// What a process used up to now.
pub(crate) fn usage(id: u32) -> Option<Usage> {
    let stat = Stat::read(id)?;
    Some(Usage { cpu: stat.own, memory: status(id, "VmHWM:")? })
}

/// What a process, its children, and those that ended used up to now; memory is that of now, what they share counted
/// once.
pub(crate) fn usage_of_family(id: u32) -> Option<Usage> {
    let parent = Stat::read(id)?;
    let mut family = Usage { cpu: parent.own + parent.ended, memory: status(id, "RssAnon:")? };
    let mut shared = status(id, "RssShmem:")?;
    for child in children(id) {
        // One that ends just now is counted with its parent the next time.
        let Some(stat) = Stat::read(child) else { continue };
        family.cpu += stat.own + stat.ended;
        family.memory += status(child, "RssAnon:").unwrap_or(0);
        shared = shared.max(status(child, "RssShmem:").unwrap_or(0));
    }
    family.memory += shared;
    Some(family)
}

/// The process that started another.
pub(crate) fn parent(id: u32) -> Option<u32> {
    Stat::read(id).map(|stat| stat.parent)
}

/// How many processes wanted to run in the last minute, on average.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn children(id: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// A field of `/proc/ID/status`, in bytes.
fn status(id: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own: Duration,
    /// Of its children that ended.
    ended: Duration,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// The name in brackets may hold anything; after it come state, parent, and from the twelfth on the times.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok().map(|ticks| TICK * ticks);
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
    fn times_are_found_behind_any_name() {
        let text = "41 (a) b (c) S 7 41 41 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        let expected =
            Stat { parent: 7, own: Duration::from_millis(1_200), ended: Duration::from_millis(70) };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("41 (a) S 7 41"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let id = std::process::id();
        assert!(usage(id).is_some_and(|usage| usage.memory > 100_000));
        assert!(usage_of_family(id).is_some_and(|usage| usage.memory > 100_000));
        assert!(parent(id).is_some());
    }
}
