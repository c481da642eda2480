//! Moto: the interfaces of Amazon SQS and IAM on loopback.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Process, free_port, unprivileged};

/// A server that keeps nothing: whatever it held is to be created again after a restart.
#[derive(Debug)]
pub struct Moto {
    program: PathBuf,
    trusted: Option<u32>,
    port: u16,
    // Before its folder: it must have ended when that goes.
    process: Process,
    folder: TempDir,
}

impl Moto {
    /// Starts `program` on a free port. It believes whatever a request is signed with.
    ///
    /// # Errors
    /// It does not start; its log is in the error.
    pub fn start(program: &Path) -> io::Result<Self> {
        Self::start_with(program, None)
    }

    /// Starts `program` so that after `trusted` requests it checks every signature, and what IAM lets its user do.
    /// The first ones create the user, its key and its policy.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_checking(program: &Path, trusted: u32) -> io::Result<Self> {
        Self::start_with(program, Some(trusted))
    }

    fn start_with(program: &Path, trusted: Option<u32>) -> io::Result<Self> {
        let port = free_port()?;
        let folder = TempDir::with_prefix("chargegate-moto")?;
        let process = run(program, trusted, port, folder.path())?;
        Ok(Self { program: program.to_owned(), trusted, port, process, folder })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it: SIGKILL.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same port, with nothing of what it held.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        let _ = self.process.kill();
        self.process = run(&self.program, self.trusted, self.port, self.folder.path())?;
        Ok(())
    }
}

fn run(program: &Path, trusted: Option<u32>, port: u16, folder: &Path) -> io::Result<Process> {
    let mut command = unprivileged(program, folder)?;
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    // Its libraries look for settings of the user's own there.
    command.env("HOME", folder).env_remove("MOTO_PORT").env_remove("INITIAL_NO_AUTH_ACTION_COUNT");
    if let Some(trusted) = trusted {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", trusted.to_string());
    }
    Process::start(command, folder, || answers(port))
}

fn answers(port: u16) -> bool {
    let exchange = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /moto-api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/")
    };
    exchange().unwrap_or(false)
}
