//! The real program on free ports and a data folder of its own, with an authorization service and a receiver of
//! callbacks that do as a test tells them.

mod authorizer;
mod client;
mod process;
mod receiver;

pub(crate) use authorizer::{Answer, Authorizer};
pub(crate) use client::{Client, Reply};
pub(crate) use process::{Process, program};
pub(crate) use receiver::Receiver;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout_at};

/// A station any driver may be at.
pub(crate) const STATION: &str = "123e4567-e89b-12d3-a456-426614174000";
/// A well-formed token.
pub(crate) const TOKEN: &str = "driver-allowed-0000000001";
/// Nothing a test waits for takes longer, however slow the machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program, its peers and its data.
pub(crate) struct App {
    pub(crate) process: Process,
    pub(crate) authorizer: Authorizer,
    pub(crate) receiver: Receiver,
    pub(crate) client: Client,
    pub(crate) data: TempDir,
    flags: Vec<String>,
}

impl App {
    /// Starts the program with permission to call back loopback, and `flags` besides.
    pub(crate) async fn spawn(flags: &[&str]) -> Self {
        let mut flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        flags.extend(["--callback-allow", "127.0.0.0/8"].map(String::from));
        Self::spawn_exactly(flags).await
    }

    /// Starts the program with these flags besides the addresses.
    pub(crate) async fn spawn_exactly(mut flags: Vec<String>) -> Self {
        let authorizer = Authorizer::start().await;
        flags.extend(["--acl-url".to_owned(), authorizer.url()]);
        let data = tempfile::tempdir().unwrap();
        let process = Process::up(data.path(), &flags).await;
        Self { process, authorizer, receiver: Receiver::start().await, client: Client::new(), data, flags }
    }

    /// The same program over the same data, after its process ended.
    pub(crate) async fn restart(&mut self) {
        self.process = Process::up(self.data.path(), &self.flags).await;
    }

    /// What the program was started with besides addresses and data folder.
    pub(crate) fn flags(&self) -> &[String] {
        &self.flags
    }

    /// Asks for a session whose callback goes to `path` of the receiver.
    pub(crate) async fn ask(&self, token: &str, path: &str) -> Reply {
        self.post(&body(token, &self.receiver.url(path)), &[]).await
    }

    /// Posts `body` to the edge.
    pub(crate) async fn post(&self, body: &Value, headers: &[(&str, &str)]) -> Reply {
        self.client
            .post(&format!("{}/v1/charging-sessions", self.process.edge), &body.to_string(), headers)
            .await
    }

    /// A document of the ops port.
    pub(crate) async fn ops(&self, path: &str) -> Reply {
        self.client.get(&format!("{}{path}", self.process.ops)).await
    }

    /// Runs `chargegate ARGS --data-dir .. --json` and gives its exit status and what it printed.
    pub(crate) async fn command(&self, args: &[&str]) -> (bool, Value) {
        command(self.data.path(), args).await
    }

    /// The books balance, with this much of everything.
    pub(crate) async fn assert_balanced(&self, decided: u64) {
        let (balanced, books) = self.command(&["reconcile"]).await;
        assert!(balanced, "{books}");
        assert_eq!(books["decided"], decided, "{books}");
    }
}

/// Runs a reading command over a data folder.
pub(crate) async fn command(data: &Path, args: &[&str]) -> (bool, Value) {
    let output =
        program().args(args).arg("--json").arg("--data-dir").arg(data).env_clear().output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {errors}"));
    (output.status.success(), value)
}

/// A request's body.
pub(crate) fn body(token: &str, callback_url: &str) -> Value {
    json!({ "station_id": STATION, "driver_token": token, "callback_url": callback_url })
}

/// Asks `check` again and again until it says something, or the test's patience ends. What it asks is another
/// process, which cannot tell when it is ready.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    timeout_at(deadline, async {
        loop {
            ticks.tick().await;
            if let Some(found) = check().await {
                return found;
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
