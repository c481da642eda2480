//! Scheduled faults: a number of calls of an endpoint fail in one way.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::calls::EmulatorEndpoint;

/// A failure of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmulatorFault {
    /// 429, with `Retry-After` in whole seconds if a duration is given.
    Throttled(Option<Duration>),
    /// 500.
    Internal,
    /// 403, as if the token had lost its permission.
    Forbidden,
    /// The connection is cut before the call is processed.
    CutBefore,
    /// The call is processed, and the connection is cut before the response.
    CutAfter,
    /// The call is processed, and the connection is cut within the response body.
    CutWithin,
    /// The call is neither processed nor answered.
    Hang,
    /// The call takes this much longer.
    Slow(Duration),
    /// The call is processed, and the response is 200 with an unusable body.
    Garbage(GarbageBody),
    /// A pull delivers messages without leasing them, so that the next pull delivers them again. Both lease ids can
    /// be acknowledged.
    Duplicate,
    /// A pull returns lease ids that are unknown to later calls; the messages stay leased.
    WrongLeases,
}

/// An unusable response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageBody {
    /// An HTML page, as a proxy sends it.
    NotJson,
    /// JSON of a different shape.
    OtherShape,
    /// The first half of the correct body.
    Half,
    /// An endless stream of spaces.
    Endless,
}

impl EmulatorFault {
    /// Returns whether the fault needs a pull that returns messages, and waits for one.
    pub(crate) fn wants_messages(self) -> bool {
        matches!(self, Self::CutAfter | Self::CutWithin | Self::Duplicate | Self::WrongLeases)
    }
}

/// Scheduled faults by endpoint.
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

    /// Removes and returns the next fault.
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

    /// Reinserts a fault that had no effect.
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
