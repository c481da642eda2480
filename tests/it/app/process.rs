//! The program as a child process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::TEST_DEADLINE;

/// Returns a command that runs the built program.
pub(crate) fn program() -> Command {
    let path = std::env::var("CHARGEGATE_PROGRAM")
        .expect("run by `cargo xtask test`, which sets CHARGEGATE_PROGRAM");
    let mut command = Command::new(path);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// A running program; killed when dropped.
pub(crate) struct ProgramProcess {
    child: Child,
    /// The base URL of the edge; empty for a process without one.
    pub(crate) edge: String,
    /// The base URL of the ops port.
    pub(crate) ops: String,
    output: OutputLines,
    errors: OutputLines,
}

/// Lines that a process has written so far.
#[derive(Clone)]
struct OutputLines {
    seen: Arc<Mutex<Vec<String>>>,
    grown: watch::Receiver<()>,
}

impl ProgramProcess {
    /// Starts `chargegate up` and waits until it is ready.
    pub(crate) async fn up(data: &Path, flags: &[String], configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = program();
        command.arg("up").arg("--data-dir").arg(data);
        command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]).args(flags).env_clear();
        configure(&mut command);
        let process = Self::spawn(command).await;
        process.unwrap_or_else(|output| panic!("the program did not start: {output}"))
    }

    /// Starts a command and waits for its line `ready`.
    ///
    /// # Errors
    /// The command ended first; the error is its output.
    pub(crate) async fn spawn(mut command: Command) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = OutputLines::of(child.stdout.take().unwrap());
        let errors = OutputLines::of(child.stderr.take().unwrap());
        let mut process = Self { child, edge: String::new(), ops: String::new(), output, errors };
        if process.output.wait(|line| line == "ready").await.is_none() {
            let errors = process.errors();
            return Err(format!("{}\n{errors}", process.output()));
        }
        if process.output().lines().any(|line| line.starts_with("edge ")) {
            process.edge = process.base("edge ");
        }
        process.ops = process.base("ops ");
        Ok(process)
    }

    /// Returns the base URL in the output line that begins with `name`.
    pub(crate) fn base(&self, name: &str) -> String {
        let output = self.output();
        let line = output.lines().find(|line| line.starts_with(name)).expect("a line with the address");
        let url = line.split_whitespace().nth(1).expect("a URL");
        url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
    }

    /// Returns the standard output so far.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    /// Returns the log so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.text()
    }

    /// Waits for a line of standard output.
    pub(crate) async fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.output.wait(wanted).await.unwrap_or_else(|| panic!("the line never appeared: {}", self.output()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Kills the process with SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Requests a graceful stop, like Ctrl-C.
    pub(crate) async fn interrupt(&self) {
        self.signal("INT").await;
    }

    /// Sends a signal, like `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().await.unwrap();
        assert!(done.success());
    }

    /// Waits until the process ends.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(TEST_DEADLINE, self.child.wait()).await.expect("an end").unwrap()
    }
}

impl OutputLines {
    fn of(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (grow, grown) = watch::channel(());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = Self { seen: Arc::clone(&seen), grown };
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                seen.lock().push(line);
                grow.send_replace(());
            }
        });
        lines
    }

    fn text(&self) -> String {
        self.seen.lock().join("\n")
    }

    /// Waits for a line; returns `None` if the stream ends or the deadline passes without it.
    async fn wait(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut grown = self.grown.clone();
        let find = || self.seen.lock().iter().find(|line| wanted(line)).cloned();
        timeout(TEST_DEADLINE, async {
            loop {
                grown.mark_unchanged();
                if let Some(line) = find() {
                    return Some(line);
                }
                if grown.changed().await.is_err() {
                    return find();
                }
            }
        })
        .await
        .ok()
        .flatten()
    }
}
