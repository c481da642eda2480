//! workerd: the runtime of Cloudflare Workers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{Process, unprivileged};

/// A worker and what it is bound to.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The folder of its modules, with `index.js` as the entry.
    pub modules: PathBuf,
    /// What it finds in its environment.
    pub bindings: BTreeMap<String, Binding>,
}

/// Something in the environment of a worker.
#[derive(Clone, Debug)]
pub enum Binding {
    /// A variable.
    Text(String),
    /// A variable that is not written as text, by its JSON.
    Json(String),
    /// A queue.
    Queue(Broker),
}

/// What takes the messages of a queue: in place of Cloudflare's, a service on this machine.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Where it listens.
    pub address: SocketAddr,
    /// Headers of each request to it: workerd itself does not tell which queue is meant.
    pub headers: Vec<(String, String)>,
}

/// A worker that serves.
#[derive(Debug)]
pub struct Workerd {
    port: u16,
    // Before its folder: it must have ended when that goes.
    process: Process,
    folder: TempDir,
}

impl Workerd {
    /// What workers are run as of: `compatibility_date` in `edge/wrangler.toml`.
    pub const COMPATIBILITY_DATE: &str = "2026-04-01";

    /// Serves `worker` on a free port.
    ///
    /// # Errors
    /// It does not start; its log is in the error.
    pub fn start(program: &Path, worker: &Worker) -> io::Result<Self> {
        Self::start_on(0, program, worker)
    }

    /// Serves `worker` on `port`.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_on(port: u16, program: &Path, worker: &Worker) -> io::Result<Self> {
        let folder = TempDir::with_prefix("chargegate-workerd")?;
        // Its own copy: whoever built the modules need not let others read them.
        let modules = copy(&worker.modules, &folder.path().join("modules"))?;
        fs::write(folder.path().join("config.capnp"), config(worker, &modules))?;
        let mut command = unprivileged(program, folder.path())?;
        command.args(["serve", "config.capnp", "--control-fd=1"]);
        command.arg(format!("--socket-addr=http=127.0.0.1:{port}"));
        let mut port = None;
        let log = folder.path().join("log");
        let process = Process::start(command, folder.path(), || {
            port = listens(&fs::read_to_string(&log).unwrap_or_default());
            port.is_some()
        })?;
        let port = port.ok_or_else(|| io::Error::other("workerd does not tell its port"))?;
        Ok(Self { port, process, folder })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it and its worker have logged.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.folder.path().join("log"))
    }
}

/// The port of the control message `{"event":"listen","socket":"http","port":1234}`.
fn listens(log: &str) -> Option<u16> {
    let message = log.lines().find(|line| line.contains(r#""event":"listen""#))?;
    let (_, port) = message.split_once(r#""port":"#)?;
    port.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Copies the files below `from`, and gives their names, the entry first.
fn copy(from: &Path, to: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.join(&folder))?;
        for entry in fs::read_dir(from.join(&folder))? {
            let name = folder.join(entry?.file_name());
            if from.join(&name).is_dir() {
                folders.push(name);
            } else {
                fs::copy(from.join(&name), to.join(&name))?;
                names.push(name.display().to_string());
            }
        }
    }
    names.sort_by_key(|name| (name != "index.js", name.clone()));
    Ok(names)
}

/// The configuration, in the text form of Cap'n Proto.
fn config(worker: &Worker, modules: &[String]) -> String {
    let modules = modules.iter().map(|name| {
        let kind =
            if Path::new(name).extension().is_some_and(|kind| kind == "wasm") { "wasm" } else { "esModule" };
        format!("(name = {}, {kind} = embed {})", text(name), text(&format!("modules/{name}")))
    });
    let bindings = worker.bindings.iter().map(|(name, binding)| match binding {
        Binding::Text(value) => format!("(name = {}, text = {})", text(name), text(value)),
        Binding::Json(value) => format!("(name = {}, json = {})", text(name), text(value)),
        Binding::Queue(_) => format!("(name = {0}, queue = {0})", text(name)),
    });
    let brokers = worker.bindings.iter().filter_map(|(name, binding)| match binding {
        Binding::Queue(broker) => Some(service(name, broker)),
        Binding::Text(_) | Binding::Json(_) => None,
    });
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [{}],
      compatibilityDate = {},
      bindings = [{}],
    )),
    {}
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
"#,
        list(modules),
        text(Workerd::COMPATIBILITY_DATE),
        list(bindings),
        list(brokers),
    )
}

/// The service that a queue's binding of the same name leads to.
fn service(name: &str, broker: &Broker) -> String {
    let headers = broker.headers.iter();
    let headers = headers.map(|(name, value)| format!("(name = {}, value = {})", text(name), text(value)));
    format!(
        "(name = {}, external = (address = {}, http = (injectRequestHeaders = [{}])))",
        text(name),
        text(&broker.address.to_string()),
        list(headers)
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// A literal of text.
fn text(value: &str) -> String {
    let mut literal = String::from("\"");
    for byte in value.bytes() {
        match byte {
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => literal.push(char::from(byte)),
            _ => {
                let _ = write!(literal, "\\x{byte:02x}");
            }
        }
    }
    literal.push('"');
    literal
}
