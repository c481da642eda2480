//! A run from start to report.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::args::{Args, Load, Mode};
use crate::book::{Book, Spans, Totals};
use crate::client::Client;
use crate::failure::Failure;
use crate::fill::{Streams, fill};
use crate::peers::Peers;
use crate::process::{self, Usage};
use crate::program::Program;
use crate::report::{Each, Report, float, per, per_second};
use crate::servers::{Counters, Servers};
use crate::sizes::{Scale, Sizes};
use crate::system::{Setting, System, Uses};

/// How long a second callback is looked for once every request has its first, and attempts are recorded.
const GRACE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(1);
const WEIGHING: Duration = Duration::from_mins(1);

/// Where the wall-clock time comes from.
pub(crate) type Clock = fn() -> SystemTime;

/// Everything but what differs from run to run.
#[derive(Debug)]
pub(crate) struct Bench {
    args: Args,
    clock: Clock,
    /// What the run's keys begin with, and what its database is called.
    name: String,
    servers: Servers,
}

impl Bench {
    /// Creates the database and its schema.
    ///
    /// # Errors
    /// A server cannot be used, or the schema not be created.
    pub(crate) async fn open(args: Args, clock: Clock) -> Result<Self, Failure> {
        let name = format!("load_{:x}", millis(clock()));
        let servers = Servers::open(&args.given, &name).await?;
        let bench = Self { args, clock, name, servers };
        let url = format!("--database-url={}", bench.servers.database);
        match Program::run(&bench.args.given, "migrate", &[url])? {
            (_, true) => Ok(bench),
            (_, false) => Err(Failure::Ended { name: "migrate" }),
        }
    }

    /// Removes what the run left on the servers.
    ///
    /// # Errors
    /// A server cannot be used.
    pub(crate) async fn close(mut self) -> Result<(), Failure> {
        self.servers.clean(&self.name).await?;
        self.servers.close().await;
        Ok(())
    }

    /// Runs requests at a steady rate through edge and workers.
    ///
    /// # Errors
    /// The product does not start or stop, or a server cannot be used.
    pub(crate) async fn open_loop(&mut self, mode: Mode, load: Load) -> Result<Report, Failure> {
        let interval = Duration::from_secs(1) / load.rate.get();
        let book = Arc::new(Book::new(load.total(), interval));
        let peers = Peers::start(&book, self.args.acl_delay).map_err(Failure::Peers)?;
        let before = self.servers.counters().await?;
        let mut system = self.start(mode, &peers)?;
        let edge = system.edge()?;
        book.begin(Instant::now(), millis((self.clock)()));
        let (clients, callbacks) = (Arc::clone(&book), peers.callback_url());
        let client = Client::new(edge, self.args.connections.get());
        let sending = tokio::spawn(async move { client.send_all(&clients, &callbacks).await });
        let mut scale = match mode {
            Mode::Soak(_) => Some(Scale::open(&self.servers.database).await?),
            Mode::Open(_) | Mode::Peak { .. } | Mode::Drain { .. } => None,
        };
        let mut sizes = Vec::new();
        self.watch(&mut system, &book, || sending.is_finished(), scale.as_mut(), &mut sizes).await?;
        let own = scale.as_ref().map_or(0, |scale| scale.transactions);
        if let Some(scale) = scale {
            scale.close().await;
        }
        let mut end = self.end(system, before).await?;
        end.counted.transactions = end.counted.transactions.saturating_sub(own);
        let report = report(mode, &book, &peers, end);
        Ok(Report {
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
    pub(crate) async fn drain(&mut self, mode: Mode, messages: u64) -> Result<Report, Failure> {
        let book = Arc::new(Book::new(messages, Duration::ZERO));
        let peers = Peers::start(&book, self.args.acl_delay).map_err(Failure::Peers)?;
        let streams = Streams { prefix: &self.name, count: self.args.product.streams };
        let filling = Instant::now();
        let now = || millis((self.clock)());
        fill(&mut self.servers.redis, &streams, &book, &peers.callback_url(), now).await?;
        let filled = filling.elapsed();
        let before = self.servers.counters().await?;
        book.begin(Instant::now(), now());
        let mut system = self.start(mode, &peers)?;
        self.watch(&mut system, &book, || true, None, &mut Vec::new()).await?;
        let end = self.end(system, before).await?;
        let report = report(mode, &book, &peers, end);
        Ok(Report { accepted_per_s: per_second(messages, filled), ..report })
    }

    fn start(&self, mode: Mode, peers: &Peers) -> Result<System, Failure> {
        let setting = Setting {
            given: &self.args.given,
            product: &self.args.product,
            mode,
            prefix: &self.name,
            database: self.servers.database.as_str(),
            acl_url: &peers.acl_url(),
        };
        System::start(&setting, &self.servers)
    }

    /// Waits until all is sent and called back, or nothing has come for too long.
    async fn watch(
        &self,
        system: &mut System,
        book: &Book,
        is_sent: impl Fn() -> bool,
        mut scale: Option<&mut Scale>,
        sizes: &mut Vec<Sizes>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut arrivals, mut newest) = (0, start);
        let mut weighing = start + WEIGHING;
        while !(is_sent() && book.is_settled()) {
            tokio::select! {
                _ = looks.tick() => system.look(),
                () = sleep(LOOK / 20) => {}
            }
            if let Some(scale) = scale.as_deref_mut()
                && Instant::now() >= weighing
            {
                weighing += WEIGHING;
                let weighed = scale.weigh(start.elapsed()).await?;
                if !self.args.json {
                    crate::print(&weighed);
                }
                sizes.push(weighed);
            }
            if book.arrivals() > arrivals || !is_sent() {
                (arrivals, newest) = (book.arrivals(), Instant::now());
            }
            if newest.elapsed() > self.args.patience {
                break;
            }
        }
        sleep(GRACE).await;
        Ok(())
    }

    /// Stops the product, and reads what was counted.
    async fn end(&mut self, mut system: System, before: Counters) -> Result<End, Failure> {
        let uses = system.uses();
        let load_average = process::load_average();
        system.stop().await?;
        let counted = self.servers.counters().await?.since(before);
        let flags = [
            format!("--queue-url={}", self.args.given.redis_url),
            format!("--queue-prefix={}", self.name),
            format!("--queue-streams={}", self.args.product.streams),
            format!("--database-url={}", self.servers.database),
            "--json".to_owned(),
        ];
        let (books, _) = Program::run(&self.args.given, "reconcile", &flags)?;
        let books: Value = serde_json::from_str(&books).unwrap_or_default();
        let balanced = books.get("balanced").and_then(Value::as_bool).unwrap_or(false);
        Ok(End { uses, counted, load_average, balanced, about: self.servers.about.clone() })
    }
}

/// What is known once the product has stopped.
struct End {
    uses: Uses,
    counted: Counters,
    load_average: Option<f64>,
    balanced: bool,
    about: crate::servers::About,
}

fn report(mode: Mode, book: &Book, peers: &Peers, end: End) -> Report {
    let Totals {
        planned,
        accepted,
        refused,
        uncertain,
        called_back,
        missing,
        contradictory,
        repeated,
        without_call,
    } = book.totals();
    let Spans { accepting, deciding, delivering } = book.spans();
    let End { uses, counted, load_average, balanced, about } = end;
    let (workers, largest) = (uses.of_workers(), uses.largest_worker());
    let cpu = |usage: Usage| usage.cpu.as_secs_f64();
    let memory = |usage: Usage| megabytes(usage.memory);
    let each = |figure: &dyn Fn(Usage) -> f64| Each {
        edge: uses.edge.map(figure),
        workers: Some(figure(workers)),
        redis: uses.redis.map(figure),
        postgres: uses.postgres.map(figure),
        load: uses.load.map(figure),
    };
    let (acl_calls, acl_calls_in_flight_max) = peers.calls();
    Report {
        mode: match mode {
            Mode::Open(_) => "open loop",
            Mode::Peak { .. } => "peak",
            Mode::Drain { .. } => "drain",
            Mode::Soak(_) => "soak",
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
        ack_ms: book.acks.percentiles(),
        decision_ms: book.decisions.percentiles(),
        callback_ms: book.callbacks.percentiles(),
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

fn millis(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
