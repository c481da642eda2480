//! The running product: an edge and workers on the run's keys and database.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::args::{LoadMode, ProductArgs, TargetArgs};
use crate::duration;
use crate::error::LoadError;
use crate::process::{self, ProcessUsage};
use crate::program::{ProductProcess, StartingProcess};
use crate::servers::LoadServers;

/// The configuration of the product's processes.
#[derive(Debug)]
pub(crate) struct ProductSettings<'a> {
    pub(crate) given: &'a TargetArgs,
    pub(crate) edge_component: &'a Path,
    pub(crate) product: &'a ProductArgs,
    pub(crate) mode: LoadMode,
    pub(crate) prefix: &'a str,
    pub(crate) database: &'a str,
    pub(crate) acl_url: &'a str,
}

/// The running processes of the product.
#[derive(Debug)]
pub(crate) struct RunningProduct {
    edge: Option<ProductProcess>,
    workers: Vec<ProductProcess>,
    before: BaselineUsage,
    /// Maximum sampled memory of PostgreSQL, whose processes come and go.
    postgres_memory: u64,
}

/// Usage of the servers and of the load test before the start of the product.
#[derive(Debug)]
struct BaselineUsage {
    redis: Option<(u32, ProcessUsage)>,
    postgres: Option<(u32, ProcessUsage)>,
    load: ProcessUsage,
}

/// The usage of each process.
#[derive(Clone, Debug)]
pub(crate) struct ProductUsage {
    pub(crate) edge: Option<ProcessUsage>,
    pub(crate) workers: Vec<ProcessUsage>,
    pub(crate) redis: Option<ProcessUsage>,
    pub(crate) postgres: Option<ProcessUsage>,
    pub(crate) load: Option<ProcessUsage>,
}

impl ProductSettings<'_> {
    /// Returns the flags of an edge on a free port.
    fn edge(&self) -> Vec<String> {
        let mut flags = self.queue();
        flags.push("--listen=127.0.0.1:0".to_owned());
        flags.push(format!("--edge-component={}", self.edge_component.display()));
        flags.push(format!("--data-dir={}", std::env::temp_dir().join("chargegate-load").display()));
        flags.extend(self.product.edge_flags.iter().cloned());
        flags
    }

    /// Returns the flags of a worker.
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

    /// Returns the flags that edge and worker share.
    fn queue(&self) -> Vec<String> {
        vec![
            format!("--queue-url={}", self.given.redis_url),
            format!("--queue-prefix={}", self.prefix),
            "--callback-allow=127.0.0.0/8".to_owned(),
            "--ops-listen=127.0.0.1:0".to_owned(),
            "--log=warn".to_owned(),
        ]
    }
}

impl RunningProduct {
    /// Starts the workers, and an edge except for a drain.
    ///
    /// # Errors
    /// Returns an error if a process does not start.
    pub(crate) fn start(setting: &ProductSettings<'_>, servers: &LoadServers) -> Result<Self, LoadError> {
        let before = BaselineUsage::new(servers);
        let edge = match setting.mode {
            LoadMode::Drain { .. } => None,
            LoadMode::Open(_) | LoadMode::Peak { .. } | LoadMode::Soak(_) => {
                Some(ProductProcess::spawn(setting.given, "edge", &setting.edge())?)
            }
        };
        let flags = setting.worker();
        let workers: Result<Vec<_>, _> = (0..setting.product.workers.get())
            .map(|_| ProductProcess::spawn(setting.given, "worker", &flags))
            .collect();
        Ok(Self {
            edge: edge.map(StartingProcess::ready).transpose()?,
            workers: workers?.into_iter().map(StartingProcess::ready).collect::<Result<_, _>>()?,
            before,
            postgres_memory: 0,
        })
    }

    /// Returns the address of the edge.
    ///
    /// # Errors
    /// Returns an error if there is no edge.
    pub(crate) fn edge(&self) -> Result<SocketAddr, LoadError> {
        self.edge.as_ref().ok_or(LoadError::NotReady { name: "edge" })?.address("edge ")
    }

    /// Samples the memory of PostgreSQL; to be called about every second.
    pub(crate) fn sample(&mut self) {
        let sampled = self.before.postgres.and_then(|(id, _)| process::usage_of_family(id));
        self.postgres_memory = self.postgres_memory.max(sampled.map_or(0, |usage| usage.memory));
    }

    /// Returns the usage of each process since the start.
    pub(crate) fn usage(&mut self) -> ProductUsage {
        self.sample();
        let BaselineUsage { redis, postgres, load } = self.before;
        let postgres = postgres.and_then(|(id, before)| Some(process::usage_of_family(id)? - before));
        ProductUsage {
            edge: self.edge.as_ref().and_then(|edge| process::usage(edge.id())),
            workers: self.workers.iter().filter_map(|worker| process::usage(worker.id())).collect(),
            redis: redis.and_then(|(id, before)| Some(process::usage(id)? - before)),
            postgres: postgres.map(|usage| ProcessUsage { memory: self.postgres_memory, ..usage }),
            load: process::usage(std::process::id()).map(|usage| usage - load),
        }
    }

    /// Stops all processes, the edge first.
    ///
    /// # Errors
    /// Returns an error if a process does not stop, or had failed.
    pub(crate) async fn stop(self) -> Result<(), LoadError> {
        if let Some(edge) = self.edge {
            edge.stop().await?;
        }
        for worker in self.workers {
            worker.stop().await?;
        }
        Ok(())
    }
}

impl BaselineUsage {
    fn new(servers: &LoadServers) -> Self {
        Self {
            redis: servers.redis_id.and_then(|id| Some((id, process::usage(id)?))),
            postgres: servers.postgres_id.and_then(|id| Some((id, process::usage_of_family(id)?))),
            load: process::usage(std::process::id()).unwrap_or_default(),
        }
    }
}

impl ProductUsage {
    /// Returns the usage of all workers together.
    pub(crate) fn of_workers(&self) -> ProcessUsage {
        let cpu: Duration = self.workers.iter().map(|worker| worker.cpu).sum();
        ProcessUsage { cpu, memory: self.workers.iter().map(|worker| worker.memory).sum() }
    }

    /// Returns the memory of the largest worker.
    pub(crate) fn largest_worker(&self) -> u64 {
        self.workers.iter().map(|worker| worker.memory).max().unwrap_or(0)
    }
}
