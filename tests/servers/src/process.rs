//! A server's process.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Who runs servers that refuse to run as root.
const NOBODY: &str = "nobody";

/// A child that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a server that writes its log into `folder`, and waits until `is_up` says so.
    pub(crate) fn start(
        mut command: Command,
        folder: &Path,
        mut is_up: impl FnMut() -> bool,
    ) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Self(spawn(command)?);
        let deadline = Instant::now() + PATIENCE;
        while !is_up() {
            let ended = process.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the server does not start:\n{log}")));
            }
            sleep(Duration::from_millis(20));
        }
        // Another's server may have had the port first.
        match process.0.try_wait()? {
            Some(status) => Err(io::Error::other(format!("the server ended at once: {status}"))),
            None => Ok(process),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal, by the name that `kill` knows.
    pub(crate) fn signal(&self, name: &str) -> io::Result<()> {
        let done = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other("the process is gone")) }
    }

    /// Ends the process as a power cut would, as far as the process is concerned.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// Waits for the end of a process that was told to stop.
    pub(crate) fn ended(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the server does not stop"));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A command that is never run as root, and whose `folder` is its own. It ends with this process, however this process
/// ends, and not by the terminal's interrupt before that.
pub(crate) fn unprivileged(program: &Path, folder: &Path) -> io::Result<Command> {
    // setpriv executes the program in its own place, so that signals reach it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root()? {
        let owned = Command::new("chown").args(["-R", NOBODY]).arg(folder).status()?;
        if !owned.success() {
            return Err(io::Error::other("the server's folder cannot be given to another user"));
        }
        command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"]);
    }
    command.arg(program).current_dir(folder).process_group(0);
    Ok(command)
}

/// Spawns from a thread that lives as long as this process: "parent death" means the end of the spawning thread.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, child) = channel();
    let sent = spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply));
    let gone = || io::Error::other("the spawning thread is gone");
    sent.map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_root() -> io::Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(id.stdout.trim_ascii() == b"0")
}
