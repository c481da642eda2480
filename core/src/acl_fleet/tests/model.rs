//! An exhaustive search over a model of the fleet: workers that renew, call, stall and die in any order, with writes that
//! are lost, repeated or delayed. In no state does the service work on more calls than the total.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::vec::Vec;

use super::*;

/// A step of time. A lease lasts for 5.8 s.
const STEP: u64 = 2000;
/// Time-out of a call, which occupies the service for up to as long again.
const TIMEOUT: u64 = 2000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum WorkerFault {
    None,
    /// The worker confirms its share even if more calls are in flight.
    ForgetsCalls,
    /// The worker begins calls that may occupy the service beyond its lease.
    ForgetsOccupancy,
    /// The worker uses a share after the end of its lease.
    IgnoresLease,
}

#[derive(Clone, Copy)]
struct ModelLimits {
    total: u32,
    workers: u64,
    until: u64,
    fault: WorkerFault,
}

#[derive(Clone, Hash)]
struct ModelState {
    now: u64,
    fleet: AclFleet,
    workers: Vec<ModelWorker>,
}

#[derive(Clone, Default, Hash)]
struct ModelWorker {
    slots: u32,
    valid_until: u64,
    /// The latest ends of the calls that the service works on.
    calls: Vec<u64>,
    /// The renewal that was read and not yet written; a worker that gave up on it leaves it here.
    write: Option<PendingWrite>,
}

#[derive(Clone, Hash)]
struct PendingWrite {
    /// Set when another worker has written since the read: the compare-and-set will fail.
    stale: bool,
    fleet: AclFleet,
    slots: u32,
    valid_until: u64,
}

impl ModelWorker {
    fn end_lease(&mut self, now: u64, limits: ModelLimits) {
        if self.valid_until <= now && limits.fault != WorkerFault::IgnoresLease {
            self.slots = 0;
        }
    }

    /// Returns the latest end of a call that begins now, or `None` if none may begin.
    fn end_of_call(&self, now: u64, limits: ModelLimits) -> Option<u64> {
        let end = now + 2 * TIMEOUT;
        let (last_begin, end) = match limits.fault {
            WorkerFault::ForgetsOccupancy | WorkerFault::IgnoresLease => (u64::MAX, end),
            _ => (self.valid_until.saturating_sub(TIMEOUT), end.min(self.valid_until)),
        };
        (self.calls.len() < usize::try_from(self.slots).unwrap() && now < last_begin).then_some(end)
    }
}

impl ModelState {
    fn new(limits: ModelLimits) -> Self {
        let workers = (0..limits.workers).map(|_| ModelWorker::default()).collect();
        Self { now: 0, fleet: AclFleet::new(at(0)), workers }
    }

    fn calls(&self) -> usize {
        self.workers.iter().map(|worker| worker.calls.len()).sum()
    }

    fn read(&self, id: u64, limits: ModelLimits) -> Self {
        let mut next = self.clone();
        let mut fleet = self.fleet.clone();
        let worker = &mut next.workers[usize::try_from(id).unwrap()];
        let usable = if worker.valid_until > self.now { worker.slots } else { 0 };
        let in_flight = u32::try_from(worker.calls.len()).unwrap();
        let confirmed =
            if limits.fault == WorkerFault::ForgetsCalls { usable } else { usable.max(in_flight) };
        let share = fleet.renew(at(self.now), &renewal(id, limits.total, confirmed));
        // The worker's clock is slower than the store's, as far as the margin of the lease permits.
        let valid_for = u64::try_from(share.valid_for.as_millis()).unwrap() * 20 / 19;
        worker.write =
            Some(PendingWrite { stale: false, fleet, slots: share.slots, valid_until: self.now + valid_for });
        next
    }

    /// Writes what a worker has read. `reply` is whether the worker learns of it.
    fn write(&self, id: usize, reply: bool, limits: ModelLimits) -> Self {
        let mut next = self.clone();
        let Some(write) = next.workers[id].write.take() else { return next };
        if !write.stale {
            next.fleet = write.fleet;
            for other in next.workers.iter_mut().filter_map(|worker| worker.write.as_mut()) {
                other.stale = true;
            }
            if reply {
                next.workers[id].slots = write.slots;
                next.workers[id].valid_until = write.valid_until;
                next.workers[id].end_lease(self.now, limits);
            }
        }
        next
    }

    fn successors(&self, limits: ModelLimits) -> Vec<Self> {
        let mut all = Vec::new();
        if self.now < limits.until {
            let mut next = self.clone();
            next.now += STEP;
            for worker in &mut next.workers {
                worker.calls.retain(|end| *end > next.now);
                worker.end_lease(next.now, limits);
            }
            all.push(next);
        }
        for (id, worker) in self.workers.iter().enumerate() {
            match worker.write {
                None => all.push(self.read(u64::try_from(id).unwrap(), limits)),
                Some(PendingWrite { stale: true, .. }) => all.push(self.write(id, true, limits)),
                Some(_) => all.extend([self.write(id, true, limits), self.write(id, false, limits)]),
            }
            if let Some(end) = worker.end_of_call(self.now, limits) {
                let mut next = self.clone();
                next.workers[id].calls.push(end);
                all.push(next);
            }
            if !worker.calls.is_empty() {
                let mut next = self.clone();
                next.workers[id].calls.remove(0);
                all.push(next);
            }
        }
        all
    }
}

/// Searches all states up to a time; returns their number, or `None` if one exceeds the total.
fn search(limits: ModelLimits) -> Option<usize> {
    let mut open = std::vec![ModelState::new(limits)];
    let mut seen = HashSet::new();
    while let Some(state) = open.pop() {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        if !seen.insert(hasher.finish()) {
            continue;
        }
        if state.calls() > usize::try_from(limits.total).unwrap() {
            return None;
        }
        open.extend(state.successors(limits));
    }
    Some(seen.len())
}

#[test]
fn no_order_of_events_exceeds_the_total() {
    for (total, workers, steps) in [(1, 2, 5), (2, 2, 3)] {
        let limits = ModelLimits { total, workers, until: steps * STEP, fault: WorkerFault::None };
        let states = search(limits);
        std::println!("{total} slots, {workers} workers, {steps} steps: {states:?} states");
        assert!(states.is_some_and(|states| states > 1000), "{total} slots, {workers} workers");
    }
}

/// Follows random orders of events, where there are too many for a search.
#[test]
fn no_random_order_of_events_exceeds_the_total() {
    let limits = ModelLimits { total: 3, workers: 4, until: u64::MAX, fault: WorkerFault::None };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        let mut state = ModelState::new(limits);
        for _ in 0..200 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut successors = state.successors(limits);
            state = successors.swap_remove(usize::try_from(random % as_u64(successors.len())).unwrap());
            assert!(state.calls() <= 3);
        }
    }
}

/// Shows that the search finds violations.
#[test]
fn a_worker_that_breaks_the_protocol_exceeds_the_total() {
    for fault in [WorkerFault::ForgetsCalls, WorkerFault::ForgetsOccupancy, WorkerFault::IgnoresLease] {
        assert_eq!(search(ModelLimits { total: 1, workers: 2, until: 5 * STEP, fault }), None);
    }
}
