//! Moto: a server with the APIs of Amazon SQS and IAM on loopback.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{ServerProcess, free_port, unprivileged};

/// A Moto server. It stores nothing on disk: after a restart its queues must be created again.
#[derive(Debug)]
pub struct MotoServer {
    program: PathBuf,
    unchecked_requests: Option<u32>,
    port: u16,
    // Declared before the folder: the process must have ended when the folder is removed.
    process: ServerProcess,
    folder: TempDir,
}

impl MotoServer {
    /// Starts `program` on a free port. The server accepts any signature.
    ///
    /// # Errors
    /// Returns an error with the server's log if it does not start.
    pub fn start(program: &Path) -> io::Result<Self> {
        Self::start_with(program, None)
    }

    /// Starts a `program` that, after `unchecked_requests` requests, checks every signature and the IAM policy of its
    /// user. The unchecked requests create the user, its key and its policy.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_checking(program: &Path, unchecked_requests: u32) -> io::Result<Self> {
        Self::start_with(program, Some(unchecked_requests))
    }

    fn start_with(program: &Path, unchecked_requests: Option<u32>) -> io::Result<Self> {
        let port = free_port()?;
        let folder = TempDir::with_prefix("chargegate-moto")?;
        let process = run(program, unchecked_requests, port, folder.path())?;
        Ok(Self { program: program.to_owned(), unchecked_requests, port, process, folder })
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

    /// Kills the server with SIGKILL.
    ///
    /// # Errors
    /// Returns an error if the process has already ended.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// Restarts the server on the same port, without its queues and users.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        let _ = self.process.kill();
        self.process = run(&self.program, self.unchecked_requests, self.port, self.folder.path())?;
        Ok(())
    }
}

fn run(
    program: &Path,
    unchecked_requests: Option<u32>,
    port: u16,
    folder: &Path,
) -> io::Result<ServerProcess> {
    let mut command = unprivileged(program, folder)?;
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    // Its libraries would otherwise read the settings in the user's home.
    command.env("HOME", folder).env_remove("MOTO_PORT").env_remove("INITIAL_NO_AUTH_ACTION_COUNT");
    if let Some(unchecked_requests) = unchecked_requests {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", unchecked_requests.to_string());
    }
    ServerProcess::start(command, folder, || is_ready(port))
}

fn is_ready(port: u16) -> bool {
    let exchange = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /moto-api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut response = [0; 5];
        stream.read_exact(&mut response)?;
        Ok(&response == b"HTTP/")
    };
    exchange().unwrap_or(false)
}
