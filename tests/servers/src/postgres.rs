//! A PostgreSQL server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{ServerProcess, free_port, unprivileged};

/// Bound on the attempts to restart over the shared memory of a killed server.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);

/// A PostgreSQL server with the superuser `postgres` and no passwords, reachable from loopback only. Confirmed commits
/// survive a crash: `fsync` stays on.
#[derive(Debug)]
pub struct PostgresServer {
    bin: PathBuf,
    options: Vec<String>,
    port: u16,
    // Declared before the folder: the process must have ended when the folder is removed.
    process: ServerProcess,
    folder: TempDir,
}

impl PostgresServer {
    /// Creates a cluster with the programs in `bin` and starts it on a free port. `options` are settings, like
    /// `max_connections=20`.
    ///
    /// # Errors
    /// Returns an error with the server's log if it does not start.
    pub fn start(bin: &Path, options: &[&str]) -> io::Result<Self> {
        Self::start_on(free_port()?, bin, options)
    }

    /// Creates a cluster and starts it on `port`.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_on(port: u16, bin: &Path, options: &[&str]) -> io::Result<Self> {
        let folder = TempDir::with_prefix("chargegate-postgres")?;
        let mut create = unprivileged(&bin.join("initdb"), folder.path())?;
        create.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "-D",
        ]);
        create.arg(data_folder(folder.path()));
        let created = create.stdin(Stdio::null()).output()?;
        if !created.status.success() {
            let errors = String::from_utf8_lossy(&created.stderr).into_owned();
            return Err(io::Error::other(format!("initdb failed: {errors}")));
        }
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let process = run(bin, &options, port, folder.path())?;
        Ok(Self { bin: bin.to_owned(), options, port, folder, process })
    }

    /// Returns the URL of the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// Returns the URL of the database `name`.
    #[must_use]
    pub fn database_url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Returns the server's port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the id of the postmaster process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the postmaster with SIGKILL. Its child processes notice and exit.
    ///
    /// # Errors
    /// Returns an error if the process has already ended.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// Performs a fast shutdown: cuts the connections and stops cleanly.
    ///
    /// # Errors
    /// Returns an error if the process has already ended or does not stop.
    pub fn stop(&mut self) -> io::Result<()> {
        self.process.signal("INT")?;
        self.process.wait_for_exit()
    }

    /// Kills the server if it still runs, and starts it on the same port with the same files.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        let _ = self.process.kill();
        // After a SIGKILL the shared memory stays in use until the last of the old processes has ended.
        let deadline = Instant::now() + RESTART_TIMEOUT;
        loop {
            match run(&self.bin, &self.options, self.port, self.folder.path()) {
                Ok(process) => {
                    self.process = process;
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A killed server would leave its shared memory behind.
        if self.process.signal("INT").is_ok() {
            let _ = self.process.wait_for_exit();
        }
    }
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn run(bin: &Path, options: &[String], port: u16, folder: &Path) -> io::Result<ServerProcess> {
    let mut command = unprivileged(&bin.join("postgres"), folder)?;
    command.arg("-D").arg(data_folder(folder)).args(["-p", &port.to_string(), "-k"]).arg(folder);
    command.args(["-c", "listen_addresses=127.0.0.1"]);
    for option in options {
        command.args(["-c", option]);
    }
    ServerProcess::start(command, folder, || is_ready(bin, port))
}

/// Returns whether the server accepts commands: it first replays its log.
fn is_ready(bin: &Path, port: u16) -> bool {
    let ready = bin.join("pg_isready");
    if ready.exists() {
        let mut command = Command::new(ready);
        command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        return command.status().is_ok_and(|status| status.success());
    }
    handshake(port).unwrap_or(false)
}

/// Requests a session, as `pg_isready` does: a response that is not an error means that the server is ready.
fn handshake(port: u16) -> io::Result<bool> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + parameters.len()).unwrap_or(8);
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&196_608_u32.to_be_bytes())?;
    stream.write_all(parameters)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    Ok(kind == *b"R")
}
