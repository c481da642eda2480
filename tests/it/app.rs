//! The real program on free ports and a data folder of its own, with an authorization service and a receiver of
//! callbacks that do as a test tells them.

mod authorizer;
mod client;
mod engine;
mod process;
mod receiver;

pub(crate) use authorizer::{Answer, Authorizer};
pub(crate) use client::{Client, Reply};
pub(crate) use engine::{CLOUDFLARE_QUEUE_ID, Engine, on_every_engine};
pub(crate) use process::{Process, program};
pub(crate) use receiver::{Callback, Receiver};

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use self::engine::Own;

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
    /// Where queue and store are when they are not in the data folder. Dropped after the process.
    own: Option<Own>,
}

impl App {
    /// Starts the program on a data folder, with permission to call back loopback, and `flags` besides.
    pub(crate) async fn spawn(flags: &[&str]) -> Self {
        Self::spawn_on(Engine::Folder, flags).await
    }

    /// Starts the program on an engine, with permission to call back loopback, and `flags` besides.
    pub(crate) async fn spawn_on(engine: Engine, flags: &[&str]) -> Self {
        let mut flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        flags.extend(["--callback-allow", "127.0.0.0/8"].map(String::from));
        Self::spawn_exactly(engine, flags).await
    }

    /// Starts the program with these flags besides the addresses.
    pub(crate) async fn spawn_exactly(engine: Engine, mut flags: Vec<String>) -> Self {
        let own = Own::create(engine).await;
        let authorizer = Authorizer::start().await;
        flags.extend(["--acl-url".to_owned(), authorizer.url()]);
        let data = tempfile::tempdir().unwrap();
        let process = Process::up(data.path(), &flags, |command| tell(own.as_ref(), command)).await;
        let (receiver, client) = (Receiver::start().await, Client::new());
        Self { process, authorizer, receiver, client, data, flags, own }
    }

    /// The same program over the same data, after its process ended.
    pub(crate) async fn restart(&mut self) {
        let own = self.own.as_ref();
        self.process = Process::up(self.data.path(), &self.flags, |command| tell(own, command)).await;
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

    /// Runs a reading command on the same engines and gives its exit status and what it printed.
    pub(crate) async fn command(&self, args: &[&str]) -> (bool, Value) {
        let mut command = program();
        command.args(args).arg("--json").env_clear();
        match &self.own {
            Some(own) => own.tell(&mut command),
            None => drop(command.arg("--data-dir").arg(self.data.path())),
        }
        output(command).await
    }

    /// Where queue and store are when they are not in the data folder.
    pub(crate) fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// The books balance, with this much of everything.
    pub(crate) async fn assert_balanced(&self, decided: u64) {
        let (balanced, books) = self.command(&["reconcile"]).await;
        assert!(balanced, "{books}");
        assert_eq!(books["decided"], decided, "{books}");
    }
}

fn tell(own: Option<&Own>, command: &mut Command) {
    if let Some(own) = own {
        own.tell(command);
    }
}

async fn output(mut command: Command) -> (bool, Value) {
    let output = command.output().await.unwrap();
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
