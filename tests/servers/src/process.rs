//! The process of a server.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Bound on the start and on the shutdown of a server.
const TRANSITION_TIMEOUT: Duration = Duration::from_mins(1);
/// User that runs the servers, some of which refuse to run as root.
const SERVER_USER: &str = "nobody";

/// A child process that is killed when dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess(Child);

impl ServerProcess {
    /// Starts a server that logs into `folder`, and waits until `is_ready` returns `true`.
    pub(crate) fn start(
        mut command: Command,
        folder: &Path,
        mut is_ready: impl FnMut() -> bool,
    ) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Self(spawn(command)?);
        let deadline = Instant::now() + TRANSITION_TIMEOUT;
        while !is_ready() {
            let ended = process.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the server does not start:\n{log}")));
            }
            sleep(Duration::from_millis(20));
        }
        // The response may have come from another server that took the port first.
        match process.0.try_wait()? {
            Some(status) => Err(io::Error::other(format!("the server ended at once: {status}"))),
            None => Ok(process),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal by its name, as `kill -s` accepts it.
    pub(crate) fn signal(&self, name: &str) -> io::Result<()> {
        let done = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other("the process has ended")) }
    }

    /// Kills the process with SIGKILL: like a power cut, it leaves the process no time to act.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// Waits for the exit of a process that was signalled to stop.
    pub(crate) fn wait_for_exit(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + TRANSITION_TIMEOUT;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the server does not stop"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Returns a command that never runs as root and that owns `folder`.
///
/// Its process ends with this process, however this process ends, and ignores the terminal's interrupt.
pub(crate) fn unprivileged(program: &Path, folder: &Path) -> io::Result<Command> {
    // setpriv replaces itself by the program, so that signals reach the program.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root()? {
        let owned = Command::new("chown").args(["-R", SERVER_USER]).arg(folder).status()?;
        if !owned.success() {
            return Err(io::Error::other("the owner of the server's folder cannot be changed"));
        }
        command.args(["--reuid", SERVER_USER, "--regid", "nogroup", "--clear-groups"]);
    }
    command.arg(program).current_dir(folder).process_group(0);
    Ok(command)
}

/// Spawns from a thread that lives as long as this process: the parent-death signal is sent when the spawning *thread*
/// ends.
fn spawn(command: Command) -> io::Result<Child> {
    type SpawnRequest = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<SpawnRequest>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(requests)
    });
    let (reply, child) = channel();
    let sent = spawner.lock().send((command, reply));
    let stopped = || io::Error::other("the spawning thread has ended");
    sent.map_err(|_| stopped())?;
    child.recv().map_err(|_| stopped())?
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_root() -> io::Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(id.stdout.trim_ascii() == b"0")
}
