//! A Redis or Valkey server.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{ServerProcess, free_port, unprivileged};

/// A Redis or Valkey server with an append-only file and without snapshots.
#[derive(Debug)]
pub struct RedisServer {
    program: PathBuf,
    options: Vec<String>,
    port: u16,
    // Declared before the folder: the process must have ended when the folder is removed.
    process: ServerProcess,
    folder: TempDir,
}

impl RedisServer {
    /// Starts `program` on a free port. `options` are command line options, like `--maxmemory 64mb`.
    ///
    /// # Errors
    /// Returns an error with the server's log if it does not start.
    pub fn start(program: &Path, options: &[&str]) -> io::Result<Self> {
        Self::start_on(free_port()?, program, options)
    }

    /// Starts `program` on `port`.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_on(port: u16, program: &Path, options: &[&str]) -> io::Result<Self> {
        let folder = TempDir::with_prefix("chargegate-redis")?;
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let process = run(program, &options, port, folder.path())?;
        Ok(Self { program: program.to_owned(), options, port, folder, process })
    }

    /// Returns the server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
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

    /// Kills the server with SIGKILL.
    ///
    /// # Errors
    /// Returns an error if the process has already ended.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// Sends a signal, like `STOP`.
    ///
    /// # Errors
    /// Returns an error if the process has already ended.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        self.process.signal(name)
    }

    /// Kills the server if it still runs, and starts it on the same port with the same files.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        let _ = self.process.kill();
        self.process = run(&self.program, &self.options, self.port, self.folder.path())?;
        Ok(())
    }

    /// Kills the server if it still runs, and starts it on the same port with an empty folder.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn restart_empty(&mut self) -> io::Result<()> {
        let _ = self.process.kill();
        let folder = TempDir::with_prefix("chargegate-redis")?;
        self.process = run(&self.program, &self.options, self.port, folder.path())?;
        self.folder = folder;
        Ok(())
    }
}

fn run(program: &Path, options: &[String], port: u16, folder: &Path) -> io::Result<ServerProcess> {
    let mut command = unprivileged(program, folder)?;
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command
        .args(["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--dir"])
        .arg(folder)
        .args(options);
    ServerProcess::start(command, folder, || is_ready(port))
}

/// Returns whether the server responds, if only to ask for a password, and has loaded its files.
fn is_ready(port: u16) -> bool {
    let exchange = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut response = [0; 32];
        let length = stream.read(&mut response)?;
        let response = response.get(..length).unwrap_or_default();
        Ok(response.starts_with(b"+PONG") || response.starts_with(b"-NOAUTH"))
    };
    exchange().unwrap_or(false)
}
