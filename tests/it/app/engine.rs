//! Engines for tests of the whole program.

mod queue;

use chargegate_cloudflare_emulator::CloudflareEmulator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::process::Command;

pub(crate) use self::queue::CLOUDFLARE_QUEUE_ID;
use self::queue::TestQueue;
use super::process::program;

/// Engines of queue and store that a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestEngine {
    /// Queue and store in a data folder.
    Folder,
    /// The queue on Redis, the store in PostgreSQL.
    Servers,
    /// The queue on Amazon SQS, emulated by Moto; the store in PostgreSQL.
    Sqs,
    /// The queue on our emulator of Cloudflare Queues; the store in PostgreSQL.
    Cloudflare,
}

/// Defines each test once per engine.
macro_rules! on_every_engine {
    ($($test:ident,)*) => {
        mod folder {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::app::TestEngine::Folder).await;
            })*
        }
        mod on_servers {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::app::TestEngine::Servers).await;
            })*
        }
    };
}
pub(crate) use on_every_engine;

/// Queue and database of one test on shared servers; deleted on drop.
pub(crate) struct TestBackend {
    queue: TestQueue,
    server: PgConnectOptions,
    database: String,
    database_url: String,
}

impl TestBackend {
    /// Creates and migrates the queue and the database of an engine.
    pub(crate) async fn create(engine: TestEngine) -> Option<Self> {
        let name = format!("chargegate_it_{:016x}", rand::random::<u64>());
        let queue = TestQueue::create(engine, &name).await?;
        let server: PgConnectOptions = required_env("DATABASE_URL").parse().unwrap();
        let mut admin = server.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
        let database_url = server.clone().database(&name).to_url_lossy().to_string();
        let backend = Self { queue, server, database: name, database_url };
        let mut migrate = program();
        backend.configure(migrate.arg("migrate").env_clear());
        let migrated = migrate.output().await.unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        Some(backend)
    }

    /// Sets the variables of a command that name queue and database.
    pub(crate) fn configure(&self, command: &mut Command) {
        command.envs(self.queue.variables()).env("DATABASE_URL", &self.database_url);
    }

    /// Returns the emulator of Cloudflare Queues if the engine uses it.
    pub(crate) fn cloudflare(&self) -> Option<&CloudflareEmulator> {
        self.queue.cloudflare()
    }

    async fn delete(server: PgConnectOptions, database: String) {
        if let Ok(mut admin) = server.connect().await {
            let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
            let _ = sqlx::query(drop).execute(&mut admin).await;
        }
    }
}

impl Drop for TestBackend {
    fn drop(&mut self) {
        let delete = Self::delete(self.server.clone(), self.database.clone());
        // `drop` cannot wait on the runtime of the test.
        let done = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(delete);
        });
        let _ = done.join();
    }
}

fn required_env(variable: &str) -> String {
    std::env::var(variable)
        .expect("run by `cargo xtask test`, which starts the servers and sets the variables")
}
