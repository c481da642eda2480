//! Cloudflare on this machine: our worker in workerd, and an emulator of its queues.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chargegate_servers::{QueueBroker, WorkerBinding, WorkerdScript, WorkerdServer};

use crate::programs;
use crate::step::{Failure, say};

/// Where clients of the demo expect the edge.
const EDGE_PORT: u16 = 3000;
const ACCOUNT: &str = "00000000000000000000000000000001";
const QUEUE: &str = "00000000000000000000000000000002";
const DEAD_LETTERS: &str = "00000000000000000000000000000003";
/// It opens nothing but the emulator.
const TOKEN: &str = "a-token-for-the-emulator-of-this-machine";
/// The binding and the header that tell the emulator which queue is meant.
const BINDING: &str = "JOBS";
const QUEUE_HEADER: &str = "x-queue";
/// The demo calls back to this machine.
const CALLBACK_ALLOW: &str = "127.0.0.0/8,::1";

/// A running edge and its queue; both end when this is dropped.
pub(crate) struct Cloudflare {
    edge: WorkerdServer,
    api: String,
    _emulator: Emulator,
}

impl Cloudflare {
    /// Starts the emulator, a program, and before it the worker of `modules`.
    ///
    /// # Errors
    /// workerd cannot be had, or one of them does not start.
    pub(crate) fn start(emulator: &Path, modules: PathBuf) -> Result<Self, Failure> {
        let program = programs::workerd()?.path;
        let (emulator, broker, api) = Emulator::start(emulator)?;
        let address = broker.parse().map_err(|_| Failure::new("the emulator does not tell its address"))?;
        let headers = vec![(QUEUE_HEADER.to_owned(), QUEUE.to_owned())];
        let bindings = BTreeMap::from([
            (BINDING.to_owned(), WorkerBinding::Queue(QueueBroker { address, headers })),
            ("CHARGEGATE_CALLBACK_ALLOW".to_owned(), WorkerBinding::Text(CALLBACK_ALLOW.to_owned())),
        ]);
        let edge = WorkerdServer::start_on(EDGE_PORT, &program, &WorkerdScript { modules, bindings })
            .map_err(|error| Failure::new(format!("{} on port {EDGE_PORT}: {error}", program.display())))?;
        say(format_args!("the edge is in workerd, its queue in the emulator of Cloudflare Queues at {api}"));
        Ok(Self { edge, api, _emulator: emulator })
    }

    /// Where the edge is.
    pub(crate) fn edge_url(&self) -> String {
        self.edge.url()
    }

    /// What a worker is told of the queue.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("QUEUE_URL", format!("cloudflare://{ACCOUNT}/{QUEUE}")),
            ("CLOUDFLARE_API_TOKEN", TOKEN.to_owned()),
            ("CLOUDFLARE_BASE_URL", self.api.clone()),
        ]
    }
}

/// The emulator's process.
struct Emulator(Child);

impl Emulator {
    /// Starts it on a free port; gives also the address of its broker and the URL of its API.
    fn start(program: &Path) -> Result<(Self, String, String), Failure> {
        let unusable =
            |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", program.display()));
        let mut command = Command::new(program);
        command.args(["--account", ACCOUNT]).env("CLOUDFLARE_API_TOKEN", TOKEN);
        command.args(["--queue", &format!("chargegate-dead:{DEAD_LETTERS}")]);
        command.args(["--queue", &format!("chargegate:{QUEUE}:dead=chargegate-dead:max_retries=100")]);
        // It ends with this process, whose end closes the pipe, and not by the terminal's interrupt before that.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        own_group(&mut command);
        let mut emulator = Self(command.spawn().map_err(|error| unusable(&error))?);
        let mut line = String::new();
        if let Some(out) = emulator.0.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| unusable(&error))?;
        }
        let places = line.split_once("broker http://").and_then(|(_, rest)| rest.trim().split_once(", api "));
        match places {
            Some((broker, api)) => Ok((emulator, broker.to_owned(), api.to_owned())),
            None => Err(unusable(&"does not start")),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_: &mut Command) {}
