//! A run of the load test, from start to report.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::args::{LoadArgs, LoadMode, RequestRate};
use crate::client::LoadClient;
use crate::error::LoadError;
use crate::fill::fill;
use crate::ledger::{LedgerTotals, LoadLedger, PhaseDurations};
use crate::peers::LoadPeers;
use crate::process::{self, ProcessUsage};
use crate::product::{ProductSettings, ProductUsage, RunningProduct};
use crate::report::{LoadReport, UsagePerProcess, float, per, per_second};
use crate::servers::{LoadServers, ServerCounters};
use crate::sizes::{TableSizeProbe, TableSizes};

/// Time to wait for repeated callbacks, and for the workers to record attempts, after the last first callback.
const REPEAT_WAIT: Duration = Duration::from_millis(500);
/// Interval at which the memory of PostgreSQL is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of the reports of the table sizes.
const TABLE_SIZE_INTERVAL: Duration = Duration::from_mins(1);

/// Source of the wall-clock time.
pub(crate) type LoadClock = fn() -> SystemTime;

/// A load test with its servers; it can perform several runs.
#[derive(Debug)]
pub(crate) struct LoadRun {
    args: LoadArgs,
    clock: LoadClock,
    /// Prefix of the run's keys, and name of its database.
    name: String,
    servers: LoadServers,
}

impl LoadRun {
    /// Creates the database and its schema.
    ///
    /// # Errors
    /// Returns an error if a server is unavailable or the schema cannot be created.
    pub(crate) async fn open(args: LoadArgs, clock: LoadClock) -> Result<Self, LoadError> {
        let name = format!("load_{:x}", millis(clock()));
        let servers = LoadServers::open(&args.given, &name).await?;
        let bench = Self { args, clock, name, servers };
        bench.servers.migrate(&bench.args.given)?;
        Ok(bench)
    }

    /// Removes the database and the keys of the run.
    ///
    /// # Errors
    /// Returns an error if a server is unavailable.
    pub(crate) async fn close(mut self) -> Result<(), LoadError> {
        self.servers.clean(&self.name).await?;
        self.servers.close().await;
        Ok(())
    }

    /// Sends requests at a steady rate through edge and workers.
    ///
    /// # Errors
    /// Returns an error if the product does not start or stop, or a server is unavailable.
    pub(crate) async fn open_loop(
        &mut self,
        mode: LoadMode,
        load: RequestRate,
    ) -> Result<LoadReport, LoadError> {
        let interval = Duration::from_secs(1) / load.rate.get();
        let ledger = Arc::new(LoadLedger::new(load.total(), interval));
        let peers = LoadPeers::start(&ledger, self.args.acl_delay).map_err(LoadError::LoadPeers)?;
        let before = self.servers.counters().await?;
        let mut system = self.start(mode, &peers)?;
        let edge = system.edge()?;
        ledger.begin(Instant::now(), millis((self.clock)()));
        let (clients, callbacks) = (Arc::clone(&ledger), peers.callback_url());
        let client = LoadClient::new(edge, self.args.connections.get());
        let sending = tokio::spawn(async move { client.send_all(&clients, &callbacks).await });
        let mut scale = match mode {
            LoadMode::Soak(_) => Some(TableSizeProbe::open(&self.servers.database).await?),
            LoadMode::Open(_) | LoadMode::Peak { .. } | LoadMode::Drain { .. } => None,
        };
        let mut sizes = Vec::new();
        self.watch(&mut system, &ledger, || sending.is_finished(), scale.as_mut(), &mut sizes).await?;
        let own = scale.as_ref().map_or(0, |scale| scale.transactions);
        if let Some(scale) = scale {
            scale.close().await;
        }
        let mut end = self.end(system, before).await?;
        end.counted.transactions = end.counted.transactions.saturating_sub(own);
        let report = report(mode, &ledger, &peers, end);
        Ok(LoadReport {
            rate_per_s: Some(load.rate.get()),
            sizes,
            workers: self.args.product.workers.get(),
            ..report
        })
    }

    /// Fills the queue, then starts the workers.
    ///
    /// # Errors
    /// See [`Self::open_loop`].
    pub(crate) async fn drain(&mut self, mode: LoadMode, messages: u64) -> Result<LoadReport, LoadError> {
        let ledger = Arc::new(LoadLedger::new(messages, Duration::ZERO));
        let peers = LoadPeers::start(&ledger, self.args.acl_delay).map_err(LoadError::LoadPeers)?;
        let filling = Instant::now();
        let now = || millis((self.clock)());
        fill(&mut self.servers.redis, &self.name, &ledger, &peers.callback_url(), now).await?;
        let filled = filling.elapsed();
        let before = self.servers.counters().await?;
        ledger.begin(Instant::now(), now());
        let mut system = self.start(mode, &peers)?;
        self.watch(&mut system, &ledger, || true, None, &mut Vec::new()).await?;
        let end = self.end(system, before).await?;
        let report = report(mode, &ledger, &peers, end);
        Ok(LoadReport { accepted_per_s: per_second(messages, filled), ..report })
    }

    fn start(&self, mode: LoadMode, peers: &LoadPeers) -> Result<RunningProduct, LoadError> {
        let setting = ProductSettings {
            given: &self.args.given,
            edge_component: &self.args.edge_component,
            product: &self.args.product,
            mode,
            prefix: &self.name,
            database: self.servers.database.as_str(),
            acl_url: &peers.acl_url(),
        };
        RunningProduct::start(&setting, &self.servers)
    }

    /// Waits until all requests are sent and called back, or no callback has arrived for too long.
    async fn watch(
        &self,
        system: &mut RunningProduct,
        ledger: &LoadLedger,
        is_sent: impl Fn() -> bool,
        mut scale: Option<&mut TableSizeProbe>,
        sizes: &mut Vec<TableSizes>,
    ) -> Result<(), LoadError> {
        let start = Instant::now();
        let mut samples = interval(SAMPLE_INTERVAL);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut arrivals, mut newest) = (0, start);
        let mut next_measurement = start + TABLE_SIZE_INTERVAL;
        while !(is_sent() && ledger.is_settled()) {
            tokio::select! {
                _ = samples.tick() => system.sample(),
                () = sleep(SAMPLE_INTERVAL / 20) => {}
            }
            if let Some(scale) = scale.as_deref_mut()
                && Instant::now() >= next_measurement
            {
                next_measurement += TABLE_SIZE_INTERVAL;
                let measured = scale.measure(start.elapsed()).await?;
                if !self.args.json {
                    crate::print(&measured);
                }
                sizes.push(measured);
            }
            if ledger.arrivals() > arrivals || !is_sent() {
                (arrivals, newest) = (ledger.arrivals(), Instant::now());
            }
            if newest.elapsed() > self.args.patience {
                break;
            }
        }
        sleep(REPEAT_WAIT).await;
        Ok(())
    }

    /// Stops the product, and collects usage and counters.
    async fn end(
        &mut self,
        mut system: RunningProduct,
        before: ServerCounters,
    ) -> Result<RunMeasurements, LoadError> {
        let uses = system.usage();
        let load_average = process::load_average();
        system.stop().await?;
        let counted = self.servers.counters().await?.since(before);
        let balanced = self.servers.is_balanced(&self.args.given, &self.name)?;
        Ok(RunMeasurements { uses, counted, load_average, balanced, about: self.servers.about.clone() })
    }
}

/// Measurements taken at the end of a run.
struct RunMeasurements {
    uses: ProductUsage,
    counted: ServerCounters,
    load_average: Option<f64>,
    balanced: bool,
    about: crate::servers::ServerDescription,
}

fn report(mode: LoadMode, ledger: &LoadLedger, peers: &LoadPeers, end: RunMeasurements) -> LoadReport {
    let LedgerTotals {
        planned,
        accepted,
        refused,
        uncertain,
        called_back,
        missing,
        contradictory,
        repeated,
        without_call,
    } = ledger.totals();
    let PhaseDurations { accepting, deciding, delivering } = ledger.spans();
    let RunMeasurements { uses, counted, load_average, balanced, about } = end;
    let (workers, largest) = (uses.of_workers(), uses.largest_worker());
    let cpu = |usage: ProcessUsage| usage.cpu.as_secs_f64();
    let memory = |usage: ProcessUsage| megabytes(usage.memory);
    let each = |figure: &dyn Fn(ProcessUsage) -> f64| UsagePerProcess {
        edge: uses.edge.map(figure),
        workers: Some(figure(workers)),
        redis: uses.redis.map(figure),
        postgres: uses.postgres.map(figure),
        load: uses.load.map(figure),
    };
    let (acl_calls, acl_calls_in_flight_max) = peers.calls();
    LoadReport {
        mode: match mode {
            LoadMode::Open(_) => "open loop",
            LoadMode::Peak { .. } => "peak",
            LoadMode::Drain { .. } => "drain",
            LoadMode::Soak(_) => "soak",
        },
        rate_per_s: None,
        planned,
        accepted,
        refused,
        uncertain,
        called_back,
        missing,
        contradictory,
        repeated,
        without_call,
        accepted_per_s: per_second(accepted, accepting),
        decided_per_s: per_second(called_back, deciding),
        delivered_per_s: per_second(called_back, delivering),
        ack_ms: ledger.acks.percentiles(),
        decision_ms: ledger.decisions.percentiles(),
        callback_ms: ledger.callbacks.percentiles(),
        cpu_s: each(&cpu),
        rss_mb: each(&memory),
        worker_rss_mb: megabytes(largest),
        worker_cpu_us_per_decision: per(cpu(workers) * 1e6, called_back),
        postgres_cpu_us_per_decision: uses.postgres.map(|usage| per(cpu(usage) * 1e6, called_back)),
        tx_per_decision: per(float(counted.transactions), called_back),
        fsyncs_per_decision: per(float(counted.wal_syncs), called_back),
        wal_bytes_per_decision: per(float(counted.wal_bytes), called_back),
        redis_commands_per_decision: per(float(counted.redis_commands), called_back),
        acl_calls,
        acl_calls_in_flight_max,
        balanced,
        workers: uses.workers.len(),
        load_average,
        servers: about,
        sizes: Vec::new(),
        steps: Vec::new(),
    }
}

fn megabytes(bytes: u64) -> f64 {
    (float(bytes) / 1e5).round() / 10.0
}

/// Returns a time in milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
