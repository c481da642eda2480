//! A simulation of workers before an authorization service whose capacity they do not know: their settings allow eight
//! times as many calls.
//!
//! Messages always wait, which is the hardest case. Times are in microseconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::vec::Vec;

use super::*;

const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;
const LENGTH: u64 = 120 * SECOND;
/// Setting of the workers; the service bears 32.
const TOTAL: u32 = 256;

/// The service at a moment.
#[derive(Clone, Copy)]
struct ServiceLoad {
    capacity: usize,
    /// Time of a call without a queue.
    call: u64,
    /// A longer queue slows every call: by its length in units of 32.
    contention: bool,
    hangs: bool,
    /// Every second call fails in 2 ms.
    fails: bool,
}

const PLAIN: ServiceLoad =
    ServiceLoad { capacity: 32, call: 100 * MS, contention: false, hangs: false, fails: false };

struct Scenario {
    workers: usize,
    service: fn(u64) -> ServiceLoad,
}

/// Events in the order of their times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SimulationEvent {
    Renew(usize),
    /// The service ends its work on a call.
    Finished(usize),
    TimedOut(usize),
    /// The slot of a call that timed out is free.
    Recovered(usize),
}

#[derive(Clone, Copy)]
struct SimulatedCall {
    worker: usize,
    begun: u64,
    /// The caller no longer waits.
    abandoned: bool,
    ended: bool,
    fails: bool,
}

#[derive(Default)]
struct SimulatedWorker {
    slots: u32,
    probe: bool,
    allowed: bool,
    valid_until: u64,
    in_flight: u32,
    presumed: u32,
    sums: CallSums,
    answered: u64,
}

struct Simulation {
    now: u64,
    fleet: AclFleet,
    workers: Vec<SimulatedWorker>,
    calls: Vec<SimulatedCall>,
    /// Calls that wait inside the service, and the number of those in work.
    queue: VecDeque<usize>,
    working: usize,
    events: BinaryHeap<Reverse<(u64, SimulationEvent)>>,
    random: u64,
    service: fn(u64) -> ServiceLoad,
    queue_time: u128,
    most_in_flight: u32,
}

struct SimulationResult {
    /// Answers as a share of what the service can give, in percent.
    goodput: u64,
    mean_queue: u64,
    /// Jain's index of fairness between workers, in percent.
    fairness: u64,
}

impl Simulation {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut simulation = Self {
            now: 0,
            fleet: AclFleet::new(at(0)),
            workers: (0..scenario.workers).map(|_| SimulatedWorker::default()).collect(),
            calls: Vec::new(),
            queue: VecDeque::new(),
            working: 0,
            events: BinaryHeap::new(),
            random: seed,
            service: scenario.service,
            queue_time: 0,
            most_in_flight: 0,
        };
        for worker in 0..scenario.workers {
            let start = simulation.random() % SECOND;
            simulation.schedule(start, SimulationEvent::Renew(worker));
        }
        simulation
    }

    /// A xorshift generator.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn schedule(&mut self, after: u64, event: SimulationEvent) {
        self.events.push(Reverse((self.now + after, event)));
    }

    fn run(mut self) -> SimulationResult {
        while let Some(Reverse((time, event))) = self.events.pop() {
            if time > LENGTH {
                break;
            }
            self.queue_time += u128::from(time - self.now) * u128::from(as_u64(self.queue.len()));
            self.now = time;
            match event {
                SimulationEvent::Renew(worker) => self.renew(worker),
                SimulationEvent::Finished(call) => self.finish(call),
                SimulationEvent::TimedOut(call) => self.time_out(call),
                SimulationEvent::Recovered(worker) => self.workers[worker].presumed -= 1,
            }
            for worker in 0..self.workers.len() {
                while self.begin_call(worker) {}
            }
        }
        let can_give: u64 = (0..LENGTH / SECOND)
            .map(|second| (self.service)(second * SECOND))
            .map(|load| if load.hangs { 0 } else { as_u64(load.capacity) * SECOND / load.call })
            .sum();
        let answers = self.workers.iter().map(|worker| worker.answered);
        let (sum, squares) = answers.fold((0, 0), |(sum, squares), n| (sum + n, squares + n * n));
        SimulationResult {
            goodput: sum * 100 / can_give,
            mean_queue: u64::try_from(self.queue_time / u128::from(LENGTH)).unwrap(),
            fairness: sum * sum * 100 / (squares.max(1) * as_u64(self.workers.len())),
        }
    }

    fn renew(&mut self, id: usize) {
        let jitter = u32::try_from(self.random() >> 32).unwrap();
        let (now, time) = (at(self.now / MS), self.now);
        let worker = &mut self.workers[id];
        let in_use = worker.in_flight + worker.presumed;
        let usable = if worker.valid_until > time && worker.allowed { worker.slots } else { 0 };
        let renewal = ShareRenewal {
            waiting: 1000,
            jitter,
            sums: std::mem::take(&mut worker.sums),
            ..renewal(as_u64(id), TOTAL, usable.max(in_use))
        };
        let share = self.fleet.renew(now, &renewal);
        worker.slots = share.slots;
        worker.allowed = share.allowance != CallAllowance::None;
        worker.probe = share.allowance == CallAllowance::Probe;
        worker.valid_until = time + u64::try_from(share.valid_for.as_micros()).unwrap();
        let after = u64::try_from(share.renew_after.as_micros()).unwrap();
        self.schedule(after, SimulationEvent::Renew(id));
        let in_flight = self.workers.iter().map(|worker| worker.in_flight + worker.presumed).sum();
        self.most_in_flight = self.most_in_flight.max(in_flight);
        assert!(in_flight <= TOTAL);
    }

    fn begin_call(&mut self, id: usize) -> bool {
        let worker = &mut self.workers[id];
        let free = worker.in_flight + worker.presumed < worker.slots && worker.valid_until > self.now;
        if !free || !worker.allowed {
            return false;
        }
        worker.allowed = !worker.probe;
        worker.in_flight += 1;
        worker.sums.waited += 1;
        let load = (self.service)(self.now);
        let call = self.calls.len();
        let fails = load.fails && self.random().is_multiple_of(2);
        self.calls.push(SimulatedCall { worker: id, begun: self.now, abandoned: false, ended: false, fails });
        self.schedule(2 * SECOND, SimulationEvent::TimedOut(call));
        if fails {
            self.schedule(2 * MS, SimulationEvent::Finished(call));
        } else if !load.hangs {
            self.queue.push_back(call);
            self.work();
        }
        true
    }

    /// Starts calls that wait inside the service, as many as its capacity permits.
    fn work(&mut self) {
        let load = (self.service)(self.now);
        while self.working < load.capacity {
            let Some(call) = self.queue.pop_front() else { return };
            self.working += 1;
            let slowdown = if load.contention { as_u64(self.queue.len()) } else { 0 };
            let spread = 80 + self.random() % 41;
            self.schedule(load.call * spread / 100 * (32 + slowdown) / 32, SimulationEvent::Finished(call));
        }
    }

    fn finish(&mut self, call: usize) {
        let SimulatedCall { worker, begun, abandoned, fails, .. } = self.calls[call];
        self.calls[call].ended = true;
        if !fails {
            self.working -= 1;
            self.work();
        }
        if abandoned {
            return;
        }
        let took = self.now - begun;
        let is_probe = self.workers[worker].probe;
        let worker_state = &mut self.workers[worker];
        worker_state.in_flight -= 1;
        worker_state.sums.silent_run = 0;
        if fails {
            worker_state.sums.errors += 1;
        } else {
            worker_state.sums.answered += 1;
            worker_state.sums.answered_micros += took;
            worker_state.answered += 1;
        }
        if is_probe {
            // A worker renews at once after a probe.
            self.schedule(0, SimulationEvent::Renew(worker));
        }
    }

    fn time_out(&mut self, call: usize) {
        let SimulatedCall { worker, ended, .. } = self.calls[call];
        if ended {
            return;
        }
        self.calls[call].abandoned = true;
        let worker_state = &mut self.workers[worker];
        worker_state.in_flight -= 1;
        worker_state.presumed += 1;
        worker_state.sums.timed_out += 1;
        worker_state.sums.silent_run += 1;
        self.schedule(2 * SECOND, SimulationEvent::Recovered(worker));
    }
}

#[track_caller]
fn check(name: &str, goodput: u64, scenario: &Scenario) {
    for seed in [1, 0x9e37_79b9, 0xdead_beef_cafe] {
        let result = Simulation::new(scenario, seed).run();
        std::println!(
            "{name}: {} % of capacity, mean queue {}, fairness {} %",
            result.goodput,
            result.mean_queue,
            result.fairness
        );
        assert!(result.goodput >= goodput, "{name}: {} % of the capacity", result.goodput);
        assert!(result.mean_queue <= 8, "{name}: a mean queue of {}", result.mean_queue);
        assert!(result.fairness >= 95, "{name}: a fairness of {} %", result.fairness);
    }
}

/// Returns whether a time lies in the disturbance of a scenario, which lasts for `seconds`.
fn disturbed(now: u64, seconds: u64) -> bool {
    (40 * SECOND..(40 + seconds) * SECOND).contains(&now)
}

#[test]
fn a_service_with_a_capacity_unknown_to_the_workers_is_used_and_not_overloaded() {
    check("twice the capacity", 90, &Scenario { workers: 4, service: |_| PLAIN });
}

#[test]
fn a_service_that_becomes_slower_is_not_taken_for_an_overloaded_one() {
    let service = |now| ServiceLoad { call: if disturbed(now, 40) { 400 * MS } else { 100 * MS }, ..PLAIN };
    check("four times slower for 40 s", 90, &Scenario { workers: 4, service });
}

#[test]
fn a_service_that_hung_is_used_again() {
    let service = |now| ServiceLoad { hangs: disturbed(now, 30), ..PLAIN };
    check("hang of 30 s", 85, &Scenario { workers: 4, service });
}

#[test]
fn a_service_that_loses_capacity_is_not_overloaded() {
    let service = |now| ServiceLoad { capacity: if now < 40 * SECOND { 32 } else { 8 }, ..PLAIN };
    check("capacity from 32 to 8", 90, &Scenario { workers: 4, service });
}

#[test]
fn a_service_that_slows_under_load_is_not_pushed_into_collapse() {
    for workers in [4, 16] {
        check(
            "contention",
            90,
            &Scenario { workers, service: |_| ServiceLoad { contention: true, ..PLAIN } },
        );
    }
}

#[test]
fn fast_errors_do_not_change_the_limit() {
    check(
        "half of the answers 500",
        90,
        &Scenario { workers: 4, service: |_| ServiceLoad { fails: true, ..PLAIN } },
    );
}
