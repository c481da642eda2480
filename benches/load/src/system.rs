//! The product, running: an edge and workers on the run's own keys and database.

use std::net::SocketAddr;
use std::time::Duration;

use crate::args::{Given, Mode, Product};
use crate::duration;
use crate::failure::Failure;
use crate::process::{self, Usage};
use crate::program::{Program, Starting};
use crate::servers::Servers;

/// What the product is told of its surroundings.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) given: &'a Given,
    pub(crate) product: &'a Product,
    pub(crate) mode: Mode,
    pub(crate) prefix: &'a str,
    pub(crate) database: &'a str,
    pub(crate) acl_url: &'a str,
}

/// Processes of the product.
#[derive(Debug)]
pub(crate) struct System {
    edge: Option<Program>,
    workers: Vec<Program>,
    before: Others,
    /// The most memory seen of PostgreSQL, whose processes come and go.
    postgres_memory: u64,
}

/// Processes that ran before the product's, and what each had used by then.
#[derive(Debug)]
struct Others {
    redis: Option<(u32, Usage)>,
    postgres: Option<(u32, Usage)>,
    load: Usage,
}

/// What each process used.
#[derive(Clone, Debug)]
pub(crate) struct Uses {
    pub(crate) edge: Option<Usage>,
    pub(crate) workers: Vec<Usage>,
    pub(crate) redis: Option<Usage>,
    pub(crate) postgres: Option<Usage>,
    pub(crate) load: Option<Usage>,
}

impl Setting<'_> {
    /// The flags of an edge; its port is a free one.
    fn edge(&self) -> Vec<String> {
        let mut flags = self.queue();
        flags.push("--listen=127.0.0.1:0".to_owned());
        flags.push(format!("--edge-component={}", self.given.edge_component.display()));
        flags.push(format!("--data-dir={}", std::env::temp_dir().join("chargegate-load").display()));
        flags.extend(self.product.edge_flags.iter().cloned());
        flags
    }

    /// The flags of a worker.
    fn worker(&self) -> Vec<String> {
        let product = self.product;
        let mut flags = self.queue();
        flags.extend([
            format!("--database-url={}", self.database),
            format!("--acl-url={}", self.acl_url),
            format!("--acl-slots={}", product.acl_slots),
            format!("--window={}", product.window),
            format!("--callbacks={}", product.callbacks),
            format!("--callbacks-per-host={}", product.callbacks_per_host),
        ]);
        let deadline = product.decision_deadline(self.mode);
        flags.extend(deadline.map(|time| format!("--decision-deadline={}", duration::text(time))));
        let retention = product.retention(self.mode);
        flags.extend(retention.map(|time| format!("--retention={}", duration::text(time))));
        flags.extend(product.worker_flags.iter().cloned());
        flags
    }

    /// The flags that both have.
    fn queue(&self) -> Vec<String> {
        vec![
            format!("--queue-url={}", self.given.redis_url),
            format!("--queue-prefix={}", self.prefix),
            format!("--queue-streams={}", self.product.streams),
            "--callback-allow=127.0.0.0/8".to_owned(),
            "--ops-listen=127.0.0.1:0".to_owned(),
            "--log=warn".to_owned(),
        ]
    }
}

impl System {
    /// Starts an edge, unless the queue is full already, and the workers.
    ///
    /// # Errors
    /// One does not start.
    pub(crate) fn start(setting: &Setting<'_>, servers: &Servers) -> Result<Self, Failure> {
        let before = Others::new(servers);
        let edge = match setting.mode {
            Mode::Drain { .. } => None,
            Mode::Open(_) | Mode::Peak { .. } | Mode::Soak(_) => {
                Some(Program::spawn(setting.given, "edge", &setting.edge())?)
            }
        };
        let flags = setting.worker();
        let workers: Result<Vec<_>, _> = (0..setting.product.workers.get())
            .map(|_| Program::spawn(setting.given, "worker", &flags))
            .collect();
        Ok(Self {
            edge: edge.map(Starting::ready).transpose()?,
            workers: workers?.into_iter().map(Starting::ready).collect::<Result<_, _>>()?,
            before,
            postgres_memory: 0,
        })
    }

    /// Where requests go.
    ///
    /// # Errors
    /// There is no edge.
    pub(crate) fn edge(&self) -> Result<SocketAddr, Failure> {
        self.edge.as_ref().ok_or(Failure::NotReady { name: "edge" })?.address("edge ")
    }

    /// Looks at what comes and goes; call it every second or so.
    pub(crate) fn look(&mut self) {
        let seen = self.before.postgres.and_then(|(id, _)| process::usage_of_family(id));
        self.postgres_memory = self.postgres_memory.max(seen.map_or(0, |usage| usage.memory));
    }

    /// What each process used since the start.
    pub(crate) fn uses(&mut self) -> Uses {
        self.look();
        let Others { redis, postgres, load } = self.before;
        let postgres = postgres.and_then(|(id, before)| Some(process::usage_of_family(id)? - before));
        Uses {
            edge: self.edge.as_ref().and_then(|edge| process::usage(edge.id())),
            workers: self.workers.iter().filter_map(|worker| process::usage(worker.id())).collect(),
            redis: redis.and_then(|(id, before)| Some(process::usage(id)? - before)),
            postgres: postgres.map(|usage| Usage { memory: self.postgres_memory, ..usage }),
            load: process::usage(std::process::id()).map(|usage| usage - load),
        }
    }

    /// Stops all, the edge first.
    ///
    /// # Errors
    /// One does not stop, or had failed.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        if let Some(edge) = self.edge {
            edge.stop().await?;
        }
        for worker in self.workers {
            worker.stop().await?;
        }
        Ok(())
    }
}

impl Others {
    fn new(servers: &Servers) -> Self {
        Self {
            redis: servers.redis_id.and_then(|id| Some((id, process::usage(id)?))),
            postgres: servers.postgres_id.and_then(|id| Some((id, process::usage_of_family(id)?))),
            load: process::usage(std::process::id()).unwrap_or_default(),
        }
    }
}

impl Uses {
    /// Of all workers together.
    pub(crate) fn of_workers(&self) -> Usage {
        let cpu: Duration = self.workers.iter().map(|worker| worker.cpu).sum();
        Usage { cpu, memory: self.workers.iter().map(|worker| worker.memory).sum() }
    }

    /// The memory of the largest worker.
    pub(crate) fn largest_worker(&self) -> u64 {
        self.workers.iter().map(|worker| worker.memory).max().unwrap_or(0)
    }
}
