//! Processes of the program that is measured.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::args::Given;
use crate::failure::Failure;

/// How long a process may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that says when it is ready. It ends with this one, or when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    lines: Vec<String>,
}

impl Program {
    /// Starts `chargegate` with these arguments; `name` is the subcommand. It does not wait until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn spawn(given: &Given, name: &'static str, args: &[String]) -> Result<Starting, Failure> {
        // setpriv executes the program in its own place, so that the process is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&given.program).arg(name).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| Failure::Spawn { name, source })?;
        let (said, lines) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let _ = said.send(line);
                }
            });
        }
        Ok(Starting { program: Self { name, child, lines: Vec::new() }, lines })
    }

    /// Runs `chargegate` to its end and gives what it printed, with whether it succeeded.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn run(given: &Given, name: &'static str, args: &[String]) -> Result<(String, bool), Failure> {
        let mut command = Command::new(&given.program);
        let output = command.arg(name).args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|source| Failure::Spawn { name, source })?;
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The address in the line that begins with `what`.
    ///
    /// # Errors
    /// It said none.
    pub(crate) fn address(&self, what: &str) -> Result<SocketAddr, Failure> {
        let url = self.lines.iter().find_map(|line| line.strip_prefix(what)?.split_whitespace().next());
        let address = url.and_then(|url| url.strip_prefix("http://")?.split('/').next()?.parse().ok());
        address.ok_or(Failure::NotReady { name: self.name })
    }

    /// Tells it to stop and waits.
    ///
    /// # Errors
    /// It does not stop, or reports a failure.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let failed = |source| Failure::Spawn { name: self.name, source };
        Command::new("kill").args(["-s", "TERM", &self.id().to_string()]).status().map_err(failed)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().map_err(failed)? {
                Some(status) if status.success() => return Ok(()),
                None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => return Err(Failure::Ended { name: self.name }),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Starting {
    program: Program,
    lines: Receiver<String>,
}

impl Starting {
    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It ends first, or takes too long.
    pub(crate) fn ready(mut self) -> Result<Program, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "ready" => return Ok(self.program),
                Ok(line) => self.program.lines.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(Failure::NotReady { name: self.program.name });
                }
            }
        }
    }
}
