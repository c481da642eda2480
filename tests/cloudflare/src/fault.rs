//! Faults on demand: the next so many calls of an endpoint go wrong in one way.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::calls::EmulatorEndpoint;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmulatorFault {
    /// 429, with `Retry-After` in whole seconds where there is one.
    Throttled(Option<Duration>),
    /// 500.
    Internal,
    /// 403: the token lost its permission.
    Forbidden,
    /// The connection is cut, and nothing was done.
    CutBefore,
    /// The work is done, and the connection is cut before the answer.
    CutAfter,
    /// The work is done, and the connection is cut within the answer's body.
    CutWithin,
    /// Nothing is done and no answer comes.
    Hang,
    /// It takes so much longer.
    Slow(Duration),
    /// The work is done, and the answer is 200 with such a body.
    Garbage(GarbageBody),
    /// A pull hands messages out and leases none, so that they are delivered again at once. Both leases can be
    /// acknowledged.
    Duplicate,
    /// A pull gives lease ids that no acknowledgement knows; the messages stay leased.
    WrongLeases,
}

/// A body that is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageBody {
    /// A page of a proxy.
    NotJson,
    /// JSON that is no answer of this API.
    OtherShape,
    /// The first half of the true answer.
    Half,
    /// Spaces without end.
    Endless,
}

impl EmulatorFault {
    /// Whether it says nothing on a pull that found no message, and waits for one that does.
    pub(crate) fn wants_messages(self) -> bool {
        matches!(self, Self::CutAfter | Self::CutWithin | Self::Duplicate | Self::WrongLeases)
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct PendingFaults {
    coming: BTreeMap<EmulatorEndpoint, VecDeque<(EmulatorFault, u32)>>,
}

impl PendingFaults {
    pub(crate) fn inject(&mut self, endpoint: EmulatorEndpoint, fault: EmulatorFault, times: u32) {
        if times > 0 {
            self.coming.entry(endpoint).or_default().push_back((fault, times));
        }
    }

    /// Takes the next one.
    pub(crate) fn next(&mut self, endpoint: EmulatorEndpoint) -> Option<EmulatorFault> {
        let coming = self.coming.get_mut(&endpoint)?;
        let (fault, left) = coming.front_mut()?;
        let fault = *fault;
        *left = left.saturating_sub(1);
        if *left == 0 {
            coming.pop_front();
        }
        Some(fault)
    }

    /// Gives one back that had nothing to spoil.
    pub(crate) fn put_back(&mut self, endpoint: EmulatorEndpoint, fault: EmulatorFault) {
        self.coming.entry(endpoint).or_default().push_front((fault, 1));
    }

    pub(crate) fn left(&self, endpoint: EmulatorEndpoint) -> u32 {
        self.coming.get(&endpoint).map_or(0, |coming| coming.iter().map(|(_, times)| times).sum())
    }

    pub(crate) fn clear(&mut self) {
        self.coming.clear();
    }
}
