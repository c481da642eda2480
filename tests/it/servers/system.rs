//! A whole system on free ports, with its own servers.

use std::path::PathBuf;

use chargegate_servers::{PostgresServer, RedisServer, postgres_bin, redis_server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::app::{
    CallbackReceiver, FakeAuthorizationService, HttpClient, HttpReply, ProgramProcess, body, eventually,
    program,
};

/// An edge, workers, and all their peers.
pub(crate) struct TestSystem {
    pub(crate) redis: RedisServer,
    pub(crate) postgres: PostgresServer,
    pub(crate) edge: ProgramProcess,
    pub(crate) workers: Vec<ProgramProcess>,
    pub(crate) authorizer: FakeAuthorizationService,
    pub(crate) receiver: CallbackReceiver,
    pub(crate) client: HttpClient,
    urls: ServerUrls,
    flags: Vec<String>,
    data: TempDir,
}

/// URLs of the servers of a system.
#[derive(Clone)]
pub(crate) struct ServerUrls {
    pub(crate) queue: String,
    pub(crate) database: String,
}

impl TestSystem {
    /// Starts servers, an edge, and one worker with `flags`.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_behind(flags, &[], async |urls| urls).await
    }

    /// Starts a system whose edge and worker use the URLs that `detour` returns; `settings` are those of the database.
    pub(crate) async fn start_behind(
        flags: &[&str],
        settings: &[&str],
        detour: impl AsyncFnOnce(ServerUrls) -> ServerUrls,
    ) -> Self {
        // Confirmed messages must be on disk: with `everysec` a killed server may lose recent ones.
        let redis = RedisServer::start(&redis_server(), &["--appendfsync", "always"]).unwrap();
        let postgres = PostgresServer::start(&postgres_bin(), settings).unwrap();
        let direct = ServerUrls { queue: redis.url(), database: postgres.url() };
        let migrated = command(&direct).arg("migrate").output().await.unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let urls = detour(direct).await;
        let data = tempfile::tempdir().unwrap();
        let authorizer = FakeAuthorizationService::start().await;
        let flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        let edge = edge(&urls, data.path().to_owned()).await;
        let worker = worker(&urls, &authorizer, &flags).await;
        Self {
            redis,
            postgres,
            edge,
            workers: vec![worker],
            authorizer,
            receiver: CallbackReceiver::start().await,
            client: HttpClient::new(),
            urls,
            flags,
            data,
        }
    }

    /// Starts one more worker.
    pub(crate) async fn add_worker(&mut self) {
        self.workers.push(worker(&self.urls, &self.authorizer, &self.flags).await);
    }

    /// Starts another edge in place of the one that ended.
    pub(crate) async fn restart_edge(&mut self) {
        self.edge = edge(&self.urls, self.data.path().to_owned()).await;
    }

    /// Requests a session whose callback goes to `path` of the receiver.
    pub(crate) async fn ask(&self, path: &str) -> HttpReply {
        let body = body(crate::app::TOKEN, &self.receiver.url(path)).to_string();
        self.client.post(&format!("{}/v1/charging-sessions", self.edge.edge), &body, &[]).await
    }

    /// Returns whether the books balance, and the report.
    pub(crate) async fn reconcile(&self) -> (bool, Value) {
        self.read(&["reconcile"]).await
    }

    /// Runs a read-only command directly on the servers.
    pub(crate) async fn read(&self, args: &[&str]) -> (bool, Value) {
        let direct = ServerUrls { queue: self.redis.url(), database: self.postgres.url() };
        let output = command(&direct).args(args).arg("--json").output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {errors}"));
        (output.status.success(), value)
    }

    /// Waits until no message is waiting or in flight; the books must balance throughout.
    pub(crate) async fn wait_until_settled(&self) -> Value {
        eventually("nothing is left to do", async || {
            let (balanced, books) = self.reconcile().await;
            assert!(balanced, "{books}");
            (books["waiting"] == 0 && books["in_flight"] == 0).then_some(books)
        })
        .await
    }

    /// Fetches the readiness of a process.
    pub(crate) async fn readiness(&self, process: &ProgramProcess) -> HttpReply {
        self.client.get(&format!("{}/readyz", process.ops)).await
    }

    /// Waits until every process is ready.
    pub(crate) async fn wait_until_ready(&self) {
        for process in self.workers.iter().chain([&self.edge]) {
            eventually("readiness", async || (self.readiness(process).await.status == 200).then_some(()))
                .await;
        }
    }

    /// Returns a metric without labels of a worker.
    pub(crate) async fn metric(&self, worker: usize, name: &str) -> f64 {
        let text = self.client.get(&format!("{}/metrics", self.workers[worker].ops)).await.body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }
}

/// Returns a command with the servers' URLs as its only environment.
pub(crate) fn command(urls: &ServerUrls) -> Command {
    let mut command = program();
    command.env_clear().env("QUEUE_URL", &urls.queue).env("DATABASE_URL", &urls.database);
    command
}

async fn edge(urls: &ServerUrls, data: PathBuf) -> ProgramProcess {
    let mut command = command(urls);
    command.env("CHARGEGATE_EDGE_COMPONENT", std::env::var_os("CHARGEGATE_EDGE_COMPONENT").unwrap());
    command.arg("edge").arg("--data-dir").arg(data).args(["--callback-allow", "127.0.0.0/8"]);
    command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log", "error"]);
    ProgramProcess::spawn(command).await.unwrap_or_else(|output| panic!("the edge did not start: {output}"))
}

async fn worker(
    urls: &ServerUrls,
    authorizer: &FakeAuthorizationService,
    flags: &[String],
) -> ProgramProcess {
    let mut command = command(urls);
    command.args(["worker", "--acl-url", &authorizer.url(), "--callback-allow", "127.0.0.0/8"]);
    command.args(["--ops-listen", "127.0.0.1:0", "--log", "error"]).args(flags);
    ProgramProcess::spawn(command).await.unwrap_or_else(|output| panic!("the worker did not start: {output}"))
}
