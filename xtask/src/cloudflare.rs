//! Local stand-ins for Cloudflare: the edge in workerd, and an emulator of Cloudflare Queues.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chargegate_servers::{QueueBroker, WorkerBinding, WorkerdScript, WorkerdServer};

use crate::programs;
use crate::step::{XtaskError, say};

/// Port at which clients of the demo expect the edge.
const EDGE_PORT: u16 = 3000;
const ACCOUNT: &str = "00000000000000000000000000000001";
const QUEUE: &str = "00000000000000000000000000000002";
const DEAD_LETTERS: &str = "00000000000000000000000000000003";
/// API token that only the emulator accepts.
const TOKEN: &str = "a-token-for-the-emulator-of-this-machine";
/// The queue's binding, and the header that selects the queue in the emulator.
const BINDING: &str = "JOBS";
const QUEUE_HEADER: &str = "x-queue";
/// Allowed callback addresses: the demo calls back to this machine.
const CALLBACK_ALLOW: &str = "127.0.0.0/8,::1";

/// A running edge and its queue; both stop when this is dropped.
pub(crate) struct LocalCloudflare {
    edge: WorkerdServer,
    api: String,
    _emulator: QueueEmulator,
}

impl LocalCloudflare {
    /// Starts the program `emulator`, and the worker in the folder `modules` that uses it.
    ///
    /// # Errors
    /// Returns an error if workerd cannot be installed, or a process does not start.
    pub(crate) fn start(emulator: &Path, modules: PathBuf) -> Result<Self, XtaskError> {
        let program = programs::workerd()?.path;
        let (emulator, broker, api) = QueueEmulator::start(emulator)?;
        let address =
            broker.parse().map_err(|_| XtaskError::new("the emulator did not report its address"))?;
        let headers = vec![(QUEUE_HEADER.to_owned(), QUEUE.to_owned())];
        let bindings = BTreeMap::from([
            (BINDING.to_owned(), WorkerBinding::Queue(QueueBroker { address, headers })),
            ("CHARGEGATE_CALLBACK_ALLOW".to_owned(), WorkerBinding::Text(CALLBACK_ALLOW.to_owned())),
        ]);
        let edge = WorkerdServer::start_on(EDGE_PORT, &program, &WorkerdScript { modules, bindings })
            .map_err(|error| {
                XtaskError::new(format!("{} on port {EDGE_PORT}: {error}", program.display()))
            })?;
        say(format_args!(
            "the edge runs in workerd, its queue in the emulator of Cloudflare Queues at {api}"
        ));
        Ok(Self { edge, api, _emulator: emulator })
    }

    /// Returns the base URL of the edge.
    pub(crate) fn edge_url(&self) -> String {
        self.edge.url()
    }

    /// Returns the environment variables that a worker needs for the queue.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("QUEUE_URL", format!("cloudflare://{ACCOUNT}/{QUEUE}")),
            ("CLOUDFLARE_API_TOKEN", TOKEN.to_owned()),
            ("CLOUDFLARE_BASE_URL", self.api.clone()),
        ]
    }
}

/// The process of the emulator.
struct QueueEmulator(Child);

impl QueueEmulator {
    /// Starts the emulator on a free port, and returns it with the address of its broker and the URL of its API.
    fn start(program: &Path) -> Result<(Self, String, String), XtaskError> {
        let unusable =
            |error: &dyn std::fmt::Display| XtaskError::new(format!("{}: {error}", program.display()));
        let mut command = Command::new(program);
        command.args(["--account", ACCOUNT]).env("CLOUDFLARE_API_TOKEN", TOKEN);
        command.args(["--queue", &format!("chargegate-dead:{DEAD_LETTERS}")]);
        command.args(["--queue", &format!("chargegate:{QUEUE}:dead=chargegate-dead:max_retries=100")]);
        // The emulator exits when its input closes, at the end of this process, and ignores the terminal's interrupt.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        set_process_group(&mut command);
        let mut emulator = Self(command.spawn().map_err(|error| unusable(&error))?);
        let mut line = String::new();
        if let Some(out) = emulator.0.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| unusable(&error))?;
        }
        let endpoints =
            line.split_once("broker http://").and_then(|(_, rest)| rest.trim().split_once(", api "));
        match endpoints {
            Some((broker, api)) => Ok((emulator, broker.to_owned(), api.to_owned())),
            None => Err(unusable(&"did not start")),
        }
    }
}

impl Drop for QueueEmulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
fn set_process_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn set_process_group(_: &mut Command) {}
