//! The surroundings of a page's commands: the demo, a folder, and servers where the page names them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::page;
use super::servers::PageServers;
use crate::app::TEST_DEADLINE;

/// Precedes each block.
const PRELUDE: &str = include_str!("prelude.sh");
/// Follows each block: exported variables are kept for the next one.
const EPILOGUE: &str = "\nexport -p >\"$SCENE/environment\"\n";
/// Addresses in the documentation, and the name of the line that reports the real one.
const ADDRESSES: [(&str, &str); 5] = [
    ("127.0.0.1:3000", "edge"),
    ("127.0.0.1:3001", "ops"),
    ("127.0.0.1:3002", "acl"),
    ("127.0.0.1:3003", "sink"),
    ("acl.internal:8080", "acl"),
];
/// The queue and the databases in the documentation.
const QUEUE_URL: &str = "redis://chargegate:choose-one@redis.internal:6379";
const OWNER_URL: &str = "postgres://chargegate_owner:choose-one@db.internal/chargegate";
const WORKER_URL: &str = "postgres://chargegate_worker:choose-another@db.internal/chargegate";
/// The data folder in the documentation.
const DATA_FOLDER: &str = "/var/lib/chargegate";

/// The surroundings; background processes are killed when dropped.
pub(super) struct PageScene {
    folder: TempDir,
    program: PathBuf,
    /// The latest address of each part, like `127.0.0.1:43111`.
    addresses: BTreeMap<String, String>,
    servers: PageServers,
}

impl PageScene {
    /// Starts the demo on free ports and has it decide one request.
    pub(super) async fn start() -> Self {
        let program = std::env::var("CHARGEGATE_PROGRAM").expect("run by `cargo xtask test`");
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cli")).unwrap();
        fs::copy(page::root().join("cli/acl.sample.toml"), folder.path().join("cli/acl.sample.toml"))
            .unwrap();
        let servers = PageServers::create().await;
        let mut scene = Self { folder, program: program.into(), addresses: BTreeMap::new(), servers };
        scene.run("chargegate up --demo").await.unwrap();
        scene.run("chargegate send").await.unwrap();
        scene
    }

    /// Runs a block.
    ///
    /// # Errors
    /// The output of a block that fails.
    pub(super) async fn run(&mut self, block: &str) -> Result<String, String> {
        let script = format!("{PRELUDE}{}{EPILOGUE}", self.substitute(block));
        let output = timeout(TEST_DEADLINE, self.command(&script).output()).await;
        let output = output.unwrap_or_else(|_| panic!("the block does not end:\n{block}")).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        self.note_addresses(&text);
        if output.status.success() {
            Ok(text)
        } else {
            Err(format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// The output of the background processes.
    pub(super) fn server_output(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let outputs = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("server."));
        outputs.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    fn command(&self, script: &str) -> Command {
        let mut path = self.program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.folder.path()).env_clear();
        command.env("PATH", path).env("SCENE", self.folder.path());
        for listen in ["", "OPS_", "ACL_", "SINK_"] {
            command.env(format!("CHARGEGATE_{listen}LISTEN"), "127.0.0.1:0");
        }
        command.env("CHARGEGATE_QUEUE_PREFIX", &self.servers.name);
        if let Some(edge) = self.addresses.get("edge") {
            command.env("CHARGEGATE_SEND_URL", format!("http://{edge}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Replaces the addresses, servers and folders of the documentation by those of the test.
    fn substitute(&self, block: &str) -> String {
        let mut text = listening_on_free_ports(block);
        for (documented, part) in ADDRESSES {
            if let Some(address) = self.addresses.get(part) {
                text = text.replace(documented, address);
            }
        }
        text = text.replace(QUEUE_URL, &self.servers.queue_url);
        text = text.replace(OWNER_URL, &self.servers.database_url);
        text = text.replace(WORKER_URL, &self.servers.database_url);
        text.replace(DATA_FOLDER, &self.folder.path().join("data").to_string_lossy())
    }

    /// Reads the lines in which a process reports its addresses.
    fn note_addresses(&mut self, output: &str) {
        for line in output.lines() {
            let (Some(part), Some(url)) = (
                line.split_whitespace().next(),
                line.split_whitespace().find(|word| word.starts_with("http://")),
            ) else {
                continue;
            };
            if ADDRESSES.iter().any(|(_, known)| *known == part) {
                let address = url.trim_start_matches("http://").split('/').next().unwrap();
                self.addresses.insert(part.to_owned(), address.to_owned());
            }
        }
    }
}

impl Drop for PageScene {
    fn drop(&mut self) {
        let processes = fs::read_to_string(self.folder.path().join("processes")).unwrap_or_default();
        if !processes.trim().is_empty() {
            let mut kill = std::process::Command::new("kill");
            kill.arg("-KILL").args(processes.split_whitespace()).stderr(Stdio::null());
            let _ = kill.status();
        }
    }
}

/// Returns the block with every `--listen`, `--ops-listen` and the like on a free port.
fn listening_on_free_ports(block: &str) -> String {
    let mut text = String::new();
    let mut rest = block;
    while let Some((before, after)) = rest.split_once("listen ") {
        let address = after.find(char::is_whitespace).unwrap_or(after.len());
        text.push_str(before);
        text.push_str("listen 127.0.0.1:0");
        rest = &after[address..];
    }
    text + rest
}

/// Returns true if a program is on the PATH.
pub(super) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| Path::new(&folder).join(program).is_file())
}
