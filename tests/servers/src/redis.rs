//! A Redis or Valkey server.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Process, free_port, unprivileged};

/// A server with an append-only file, and no snapshots.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    options: Vec<String>,
    port: u16,
    // Before its folder: it must have ended when that goes.
    process: Process,
    folder: TempDir,
}

impl Redis {
    /// Starts `program` on a free port. `options` are of its command line, like `--maxmemory 64mb`.
    ///
    /// # Errors
    /// It does not start; its log is in the error.
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

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
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

    /// Kills it: SIGKILL.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// Sends it a signal, like `STOP`.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        self.process.signal(name)
    }

    /// Starts it again on the same port, over the same files, after its end.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        let _ = self.process.kill();
        self.process = run(&self.program, &self.options, self.port, self.folder.path())?;
        Ok(())
    }

    /// Starts it again on the same port with nothing of what it held.
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

fn run(program: &Path, options: &[String], port: u16, folder: &Path) -> io::Result<Process> {
    let mut command = unprivileged(program, folder)?;
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command
        .args(["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--dir"])
        .arg(folder)
        .args(options);
    Process::start(command, folder, || answers(port))
}

/// Whether it answers, be it that it wants a password, and no longer loads its files.
fn answers(port: u16) -> bool {
    let exchange = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 32];
        let length = stream.read(&mut answer)?;
        let answer = answer.get(..length).unwrap_or_default();
        Ok(answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH"))
    };
    exchange().unwrap_or(false)
}
