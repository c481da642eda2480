//! Processes of the measured program.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::args::TargetArgs;
use crate::error::LoadError;

/// Bound on the start and on the shutdown of a process.
const TRANSITION_TIMEOUT: Duration = Duration::from_mins(1);
/// Start of the line by which the authorization service reports that it is ready.
const ACL_READY: &str = "acl listening on ";

/// A process that has reported that it is ready. It ends with this process, or when dropped.
#[derive(Debug)]
pub(crate) struct ProductProcess {
    name: &'static str,
    child: Child,
    lines: Vec<String>,
}

impl ProductProcess {
    /// Starts `chargegate` with the subcommand `name` and its arguments, without waiting until it is ready.
    ///
    /// # Errors
    /// Returns an error if it does not start.
    pub(crate) fn spawn(
        given: &TargetArgs,
        name: &'static str,
        args: &[String],
    ) -> Result<StartingProcess, LoadError> {
        // setpriv replaces itself by the program, so that the process id is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&given.program).arg(name).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| LoadError::Spawn { name, source })?;
        let (output, lines) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let _ = output.send(line);
                }
            });
        }
        Ok(StartingProcess { program: Self { name, child, lines: Vec::new() }, lines })
    }

    /// Runs `chargegate` to its end and returns its output, and whether it succeeded.
    ///
    /// # Errors
    /// Returns an error if it does not start.
    pub(crate) fn run(
        given: &TargetArgs,
        name: &'static str,
        args: &[String],
    ) -> Result<(String, bool), LoadError> {
        let mut command = Command::new(&given.program);
        let output = command.arg(name).args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|source| LoadError::Spawn { name, source })?;
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address of the authorization service.
    ///
    /// # Errors
    /// Returns an error if this process is not an authorization service.
    pub(crate) fn acl_address(&self) -> Result<SocketAddr, LoadError> {
        self.address(ACL_READY)
    }

    /// Returns the address in the output line that starts with `prefix`.
    ///
    /// # Errors
    /// Returns an error if there is no such line.
    pub(crate) fn address(&self, prefix: &str) -> Result<SocketAddr, LoadError> {
        let url = self.lines.iter().find_map(|line| line.strip_prefix(prefix)?.split_whitespace().next());
        let address = url.and_then(|url| url.strip_prefix("http://")?.split('/').next()?.parse().ok());
        address.ok_or(LoadError::NotReady { name: self.name })
    }

    /// Sends a signal, such as `STOP`.
    ///
    /// # Errors
    /// Returns an error if the command `kill` cannot be run.
    pub(crate) fn signal(&self, name: &str) -> Result<(), LoadError> {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        sent.map(drop).map_err(|source| LoadError::Spawn { name: self.name, source })
    }

    /// Sends SIGTERM and waits for the exit.
    ///
    /// # Errors
    /// Returns an error if the process does not stop, or exits with a failure.
    pub(crate) async fn stop(mut self) -> Result<(), LoadError> {
        self.signal("TERM")?;
        let failed = |source| LoadError::Spawn { name: self.name, source };
        let deadline = Instant::now() + TRANSITION_TIMEOUT;
        loop {
            match self.child.try_wait().map_err(failed)? {
                Some(status) if status.success() => return Ok(()),
                None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => return Err(LoadError::Ended { name: self.name }),
            }
        }
    }
}

impl Drop for ProductProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A started process that is not ready yet.
#[derive(Debug)]
pub(crate) struct StartingProcess {
    program: ProductProcess,
    lines: Receiver<String>,
}

impl StartingProcess {
    /// Waits until the process reports that it is ready.
    ///
    /// # Errors
    /// Returns an error if it ends before, or does not become ready in time.
    pub(crate) fn ready(mut self) -> Result<ProductProcess, LoadError> {
        let deadline = Instant::now() + TRANSITION_TIMEOUT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let ready = line == "ready" || line.starts_with(ACL_READY);
                    self.program.lines.push(line);
                    if ready {
                        return Ok(self.program);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(LoadError::NotReady { name: self.program.name });
                }
            }
        }
    }
}
