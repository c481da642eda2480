//! The reference authorization service as a process of its own.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::args::OverloadPlan;
use super::figures::ServiceFigures;
use crate::duration;
use crate::error::LoadError;
use crate::http_get::get;
use crate::ledger::DRIVER_TOKEN;
use crate::program::ProductProcess;

/// Path of the service's figures, by second as far back as it keeps them.
const STATS_PATH: &str = "/stats?seconds=300";

/// A running `chargegate acl` that permits the driver of the load.
#[derive(Debug)]
pub(crate) struct ReferenceService {
    process: ProductProcess,
    address: SocketAddr,
    _table: TableFile,
}

/// The file with the service's table; removed when dropped.
#[derive(Debug)]
struct TableFile(PathBuf);

impl TableFile {
    fn create(name: &str) -> Result<Self, LoadError> {
        let path = std::env::temp_dir().join(format!("{name}.acl.toml"));
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(LoadError::AclFile)?;
        let table = Self(path);
        let row = format!("[[token]]\ntoken = \"{DRIVER_TOKEN}\"\naccess = \"all\"\n");
        file.write_all(row.as_bytes()).map_err(LoadError::AclFile)?;
        Ok(table)
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl ReferenceService {
    /// Starts the service on a free port; `name` is a part of the name of its file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, or the process does not start.
    pub(crate) fn start(plan: &OverloadPlan<'_>, name: &str) -> Result<Self, LoadError> {
        let table = TableFile::create(name)?;
        let flags = [
            format!("--file={}", table.0.display()),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--capacity={}", plan.capacity),
            format!("--delay={}", duration::text(plan.delay)),
            "--contention".to_owned(),
        ];
        let process = ProductProcess::spawn(plan.given, "acl", &flags)?.ready()?;
        Ok(Self { address: process.acl_address()?, process, _table: table })
    }

    /// Returns the base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the figures so far.
    ///
    /// # Errors
    /// Returns an error if the service does not answer.
    pub(crate) async fn figures(&self) -> Result<ServiceFigures, LoadError> {
        let figures = get(self.address, STATS_PATH).await;
        let figures = figures.and_then(|figures| serde_json::from_slice(&figures).ok());
        figures.ok_or(LoadError::Figures { name: "acl" })
    }

    /// Stops the service.
    ///
    /// # Errors
    /// Returns an error if the process does not stop, or had failed.
    pub(crate) async fn stop(self) -> Result<(), LoadError> {
        self.process.stop().await
    }
}
