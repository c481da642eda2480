//! The real program on free ports with its own data folder, a scripted authorization service and a scripted callback
//! receiver.

mod authorizer;
mod client;
mod engine;
mod process;
mod receiver;

pub(crate) use authorizer::{AuthorizerAnswer, FakeAuthorizationService};
pub(crate) use client::{HttpClient, HttpReply};
pub(crate) use engine::{CLOUDFLARE_QUEUE_ID, TestEngine, on_every_engine};
pub(crate) use process::{ProgramProcess, program};
pub(crate) use receiver::{CallbackReceiver, CallbackRecord};

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use self::engine::TestBackend;

/// A well-formed station id.
pub(crate) const STATION: &str = "123e4567-e89b-12d3-a456-426614174000";
/// A well-formed driver token.
pub(crate) const TOKEN: &str = "driver-allowed-0000000001";
/// Deadline of every wait in a test, generous enough for a slow and busy machine.
pub(crate) const TEST_DEADLINE: Duration = Duration::from_mins(3);

/// The running program with its peers and its data.
pub(crate) struct TestApp {
    pub(crate) process: ProgramProcess,
    pub(crate) authorizer: FakeAuthorizationService,
    pub(crate) receiver: CallbackReceiver,
    pub(crate) client: HttpClient,
    pub(crate) data: TempDir,
    flags: Vec<String>,
    /// Queue and store if they are not in the data folder. Dropped after the process.
    backend: Option<TestBackend>,
}

impl TestApp {
    /// Starts the program on a data folder with additional `flags`; callbacks to loopback are allowed.
    pub(crate) async fn spawn(flags: &[&str]) -> Self {
        Self::spawn_on(TestEngine::Folder, flags).await
    }

    /// Starts the program on an engine with additional `flags`; callbacks to loopback are allowed.
    pub(crate) async fn spawn_on(engine: TestEngine, flags: &[&str]) -> Self {
        let mut flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        flags.extend(["--callback-allow", "127.0.0.0/8"].map(String::from));
        Self::spawn_exactly(engine, flags).await
    }

    /// Starts the program with exactly these flags and its addresses.
    pub(crate) async fn spawn_exactly(engine: TestEngine, mut flags: Vec<String>) -> Self {
        let backend = TestBackend::create(engine).await;
        let authorizer = FakeAuthorizationService::start().await;
        flags.extend(["--acl-url".to_owned(), authorizer.url()]);
        let data = tempfile::tempdir().unwrap();
        let process =
            ProgramProcess::up(data.path(), &flags, |command| configure(backend.as_ref(), command)).await;
        let (receiver, client) = (CallbackReceiver::start().await, HttpClient::new());
        Self { process, authorizer, receiver, client, data, flags, backend }
    }

    /// Restarts the program on the same data after its process ended.
    pub(crate) async fn restart(&mut self) {
        let backend = self.backend.as_ref();
        self.process =
            ProgramProcess::up(self.data.path(), &self.flags, |command| configure(backend, command)).await;
    }

    /// Returns the flags other than addresses and data folder.
    pub(crate) fn flags(&self) -> &[String] {
        &self.flags
    }

    /// Requests a session whose callback goes to `path` of the receiver.
    pub(crate) async fn ask(&self, token: &str, path: &str) -> HttpReply {
        self.post(&body(token, &self.receiver.url(path)), &[]).await
    }

    /// Posts `body` to the edge.
    pub(crate) async fn post(&self, body: &Value, headers: &[(&str, &str)]) -> HttpReply {
        self.client
            .post(&format!("{}/v1/charging-sessions", self.process.edge), &body.to_string(), headers)
            .await
    }

    /// Fetches a document from the ops port.
    pub(crate) async fn ops(&self, path: &str) -> HttpReply {
        self.client.get(&format!("{}{path}", self.process.ops)).await
    }

    /// Runs a read-only command on the same engines and returns its success and its JSON output, or null if it printed
    /// only an error.
    pub(crate) async fn command(&self, args: &[&str]) -> (bool, Value) {
        let mut command = program();
        command.args(args).arg("--json").env_clear();
        match &self.backend {
            Some(backend) => backend.configure(&mut command),
            None => drop(command.arg("--data-dir").arg(self.data.path())),
        }
        output(command).await
    }

    /// Returns queue and store if they are not in the data folder.
    pub(crate) fn backend(&self) -> Option<&TestBackend> {
        self.backend.as_ref()
    }

    /// Asserts that the books balance with `decided` decisions.
    pub(crate) async fn assert_balanced(&self, decided: u64) {
        let (balanced, books) = self.command(&["reconcile"]).await;
        assert!(balanced, "{books}");
        assert_eq!(books["decided"], decided, "{books}");
    }
}

fn configure(backend: Option<&TestBackend>, command: &mut Command) {
    if let Some(backend) = backend {
        backend.configure(command);
    }
}

async fn output(mut command: Command) -> (bool, Value) {
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let success = output.status.success();
    if text.is_empty() && !success {
        return (false, Value::Null);
    }
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {errors}"));
    (success, value)
}

/// Returns the body of a session request.
pub(crate) fn body(token: &str, callback_url: &str) -> Value {
    json!({ "station_id": STATION, "driver_token": token, "callback_url": callback_url })
}

/// Polls `check` until it returns a value, and panics at the deadline. It polls because `check` observes another
/// process, which cannot notify the test.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TEST_DEADLINE;
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
    .unwrap_or_else(|_| panic!("timed out waiting until {what}"))
}
