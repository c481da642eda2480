//! The workers of a run, and the disturbances of their operation.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::figures::calls_in_metrics;
use crate::args::TargetArgs;
use crate::error::LoadError;
use crate::http_get::get;
use crate::program::{ProductProcess, StartingProcess};

/// Duration of a pause: longer than the lease after which the other workers take over.
const PAUSE: Duration = Duration::from_secs(8);

/// The workers of a run.
#[derive(Debug)]
pub(crate) struct WorkerFleet<'a> {
    given: &'a TargetArgs,
    flags: Vec<String>,
    initial: NonZeroUsize,
    workers: Vec<FleetWorker>,
}

/// One worker and its calls.
#[derive(Debug)]
struct FleetWorker {
    /// `None` once it is killed.
    process: Option<ProductProcess>,
    ops: SocketAddr,
    /// Calls before the load.
    earlier_calls: u64,
    /// Calls during the load.
    calls: u64,
    /// Set if it worked from the begin to the end of the load.
    undisturbed: bool,
}

/// A disturbance of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FleetDisturbance {
    /// Start another worker.
    Add,
    /// Pause the first worker by SIGSTOP.
    Pause,
    /// Resume the paused worker by SIGCONT.
    Resume,
    /// Kill the last of the initial workers by SIGKILL.
    Kill,
}

impl FleetDisturbance {
    /// Returns the disturbances of a load, each with its time from the begin of the load. At any time at least one worker
    /// works, even if the fleet begins with only one.
    pub(crate) fn schedule(load: Duration) -> [(Duration, Self); 4] {
        let pause = load * 2 / 5;
        let resume = (pause + PAUSE).min(load * 7 / 10);
        [(load / 5, Self::Add), (pause, Self::Pause), (resume, Self::Resume), (load * 4 / 5, Self::Kill)]
    }
}

impl<'a> WorkerFleet<'a> {
    /// Starts `count` workers with these flags and waits until they are ready.
    ///
    /// # Errors
    /// Returns an error if a worker does not start.
    pub(crate) async fn start(
        given: &'a TargetArgs,
        flags: Vec<String>,
        count: NonZeroUsize,
    ) -> Result<Self, LoadError> {
        let mut fleet = Self { given, flags, initial: count, workers: Vec::new() };
        let starting: Result<Vec<_>, _> = (0..count.get()).map(|_| fleet.spawn()).collect();
        for worker in starting? {
            fleet.workers.push(FleetWorker::ready(worker, true).await?);
        }
        Ok(fleet)
    }

    fn spawn(&self) -> Result<StartingProcess, LoadError> {
        ProductProcess::spawn(self.given, "worker", &self.flags)
    }

    /// Disturbs the fleet.
    ///
    /// # Errors
    /// Returns an error if a worker does not start, does not report its calls, or cannot be signalled.
    pub(crate) async fn disturb(&mut self, disturbance: FleetDisturbance) -> Result<(), LoadError> {
        let worker = match disturbance {
            FleetDisturbance::Add => {
                let added = FleetWorker::ready(self.spawn()?, false).await?;
                self.workers.push(added);
                return Ok(());
            }
            FleetDisturbance::Pause | FleetDisturbance::Resume => self.workers.first_mut(),
            FleetDisturbance::Kill => self.workers.get_mut(self.initial.get() - 1),
        };
        let Some(worker) = worker else { return Ok(()) };
        worker.undisturbed = false;
        if disturbance == FleetDisturbance::Kill {
            worker.count_calls().await?;
            // Dropping the process kills it.
            worker.process = None;
            return Ok(());
        }
        let signal = if disturbance == FleetDisturbance::Pause { "STOP" } else { "CONT" };
        worker.process.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    /// Marks the begin of the load: earlier calls are left out.
    ///
    /// # Errors
    /// Returns an error if a worker does not report its calls.
    pub(crate) async fn begin_load(&mut self) -> Result<(), LoadError> {
        for worker in &mut self.workers {
            worker.earlier_calls = worker.read_calls().await?;
        }
        Ok(())
    }

    /// Marks the end of the load: later calls are left out.
    ///
    /// # Errors
    /// Returns an error if a worker does not report its calls.
    pub(crate) async fn end_load(&mut self) -> Result<(), LoadError> {
        for worker in &mut self.workers {
            worker.count_calls().await?;
        }
        Ok(())
    }

    /// Returns the calls of each worker during the load.
    pub(crate) fn calls(&self) -> Vec<u64> {
        self.workers.iter().map(|worker| worker.calls).collect()
    }

    /// Returns the calls of each worker that was not disturbed.
    pub(crate) fn undisturbed_calls(&self) -> Vec<u64> {
        self.workers.iter().filter(|worker| worker.undisturbed).map(|worker| worker.calls).collect()
    }

    /// Stops all workers.
    ///
    /// # Errors
    /// Returns an error if a worker does not stop, or had failed.
    pub(crate) async fn stop(self) -> Result<(), LoadError> {
        for process in self.workers.into_iter().filter_map(|worker| worker.process) {
            process.stop().await?;
        }
        Ok(())
    }
}

impl FleetWorker {
    /// Waits until a worker is ready, on a thread that may block.
    async fn ready(starting: StartingProcess, undisturbed: bool) -> Result<Self, LoadError> {
        let ready = tokio::task::spawn_blocking(|| starting.ready()).await;
        let process = ready.unwrap_or(Err(LoadError::NotReady { name: "worker" }))?;
        let ops = process.address("ops ")?;
        Ok(Self { process: Some(process), ops, earlier_calls: 0, calls: 0, undisturbed })
    }

    /// Updates the number of calls, unless the worker is killed.
    async fn count_calls(&mut self) -> Result<(), LoadError> {
        if self.process.is_some() {
            self.calls = self.read_calls().await?.saturating_sub(self.earlier_calls);
        }
        Ok(())
    }

    async fn read_calls(&self) -> Result<u64, LoadError> {
        let metrics = get(self.ops, "/metrics").await.ok_or(LoadError::Figures { name: "worker" })?;
        Ok(calls_in_metrics(&String::from_utf8_lossy(&metrics)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbances_follow_each_other_within_the_load() {
        for secs in [1, 6, 30, 240] {
            let load = Duration::from_secs(secs);
            let schedule = FleetDisturbance::schedule(load);
            assert!(schedule.is_sorted_by(|one, next| one.0 < next.0), "{schedule:?}");
            assert!(schedule.iter().all(|(at, _)| *at < load), "{schedule:?}");
        }
        let of_30_s = FleetDisturbance::schedule(Duration::from_secs(30));
        assert_eq!(of_30_s[2], (Duration::from_secs(20), FleetDisturbance::Resume));
    }
}
