//! workerd: the runtime of Cloudflare Workers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{ServerProcess, unprivileged};

/// The modules of a Cloudflare worker and the bindings of its environment.
#[derive(Clone, Debug)]
pub struct WorkerdScript {
    /// The folder of its modules, with `index.js` as the entry.
    pub modules: PathBuf,
    /// The bindings in its environment, by name.
    pub bindings: BTreeMap<String, WorkerBinding>,
}

/// A binding in the environment of a worker.
#[derive(Clone, Debug)]
pub enum WorkerBinding {
    /// A text variable.
    Text(String),
    /// A variable of another type, given as JSON.
    Json(String),
    /// A queue producer.
    Queue(QueueBroker),
}

/// The service that receives the messages of a queue: on this machine, in place of Cloudflare's.
#[derive(Clone, Debug)]
pub struct QueueBroker {
    /// The address it listens on.
    pub address: SocketAddr,
    /// Headers added to each request to it: workerd itself does not name the queue.
    pub headers: Vec<(String, String)>,
}

/// A workerd process that serves a worker.
#[derive(Debug)]
pub struct WorkerdServer {
    port: u16,
    // Declared before the folder: the process must have ended when the folder is removed.
    process: ServerProcess,
    folder: TempDir,
}

impl WorkerdServer {
    /// The `compatibility_date` of `edge/wrangler.toml`.
    pub const COMPATIBILITY_DATE: &str = "2026-04-01";

    /// Serves `worker` on a free port.
    ///
    /// # Errors
    /// Returns an error with the server's log if it does not start.
    pub fn start(program: &Path, worker: &WorkerdScript) -> io::Result<Self> {
        Self::start_on(0, program, worker)
    }

    /// Serves `worker` on `port`.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_on(port: u16, program: &Path, worker: &WorkerdScript) -> io::Result<Self> {
        let folder = TempDir::with_prefix("chargegate-workerd")?;
        // A copy, since the server's user may not be allowed to read the build's folder.
        let modules = copy(&worker.modules, &folder.path().join("modules"))?;
        fs::write(folder.path().join("config.capnp"), config(worker, &modules))?;
        let mut command = unprivileged(program, folder.path())?;
        command.args(["serve", "config.capnp", "--control-fd=1"]);
        command.arg(format!("--socket-addr=http=127.0.0.1:{port}"));
        let mut port = None;
        let log = folder.path().join("log");
        let process = ServerProcess::start(command, folder.path(), || {
            port = listening_port(&fs::read_to_string(&log).unwrap_or_default());
            port.is_some()
        })?;
        let port = port.ok_or_else(|| io::Error::other("workerd did not report its port"))?;
        Ok(Self { port, process, folder })
    }

    /// Returns the server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the server's port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the id of the server's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the log of workerd and its worker.
    ///
    /// # Errors
    /// Returns an error if the log cannot be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.folder.path().join("log"))
    }
}

/// Returns the port in the control message `{"event":"listen","socket":"http","port":1234}`.
fn listening_port(log: &str) -> Option<u16> {
    let message = log.lines().find(|line| line.contains(r#""event":"listen""#))?;
    let (_, port) = message.split_once(r#""port":"#)?;
    port.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Copies the files below `from`, and returns their names, the entry first.
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

/// Returns the configuration in the text form of Cap'n Proto.
fn config(worker: &WorkerdScript, modules: &[String]) -> String {
    let modules = modules.iter().map(|name| {
        let kind =
            if Path::new(name).extension().is_some_and(|kind| kind == "wasm") { "wasm" } else { "esModule" };
        format!(
            "(name = {}, {kind} = embed {})",
            text_literal(name),
            text_literal(&format!("modules/{name}"))
        )
    });
    let bindings = worker.bindings.iter().map(|(name, binding)| match binding {
        WorkerBinding::Text(value) => {
            format!("(name = {}, text = {})", text_literal(name), text_literal(value))
        }
        WorkerBinding::Json(value) => {
            format!("(name = {}, json = {})", text_literal(name), text_literal(value))
        }
        WorkerBinding::Queue(_) => format!("(name = {0}, queue = {0})", text_literal(name)),
    });
    let brokers = worker.bindings.iter().filter_map(|(name, binding)| match binding {
        WorkerBinding::Queue(broker) => Some(service(name, broker)),
        WorkerBinding::Text(_) | WorkerBinding::Json(_) => None,
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
        text_literal(WorkerdServer::COMPATIBILITY_DATE),
        list(bindings),
        list(brokers),
    )
}

/// Returns the service that the queue binding of the same name refers to.
fn service(name: &str, broker: &QueueBroker) -> String {
    let headers = broker.headers.iter();
    let headers = headers
        .map(|(name, value)| format!("(name = {}, value = {})", text_literal(name), text_literal(value)));
    format!(
        "(name = {}, external = (address = {}, http = (injectRequestHeaders = [{}])))",
        text_literal(name),
        text_literal(&broker.address.to_string()),
        list(headers)
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// Returns a Cap'n Proto text literal.
fn text_literal(value: &str) -> String {
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
