//! What a test of the whole program runs on.

use redis::AsyncCommands as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::process::Command;

use super::process::program;

/// The engines that a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Queue and store in a data folder.
    Folder,
    /// The queue on Redis, the store in PostgreSQL.
    Servers,
}

/// Runs each of these tests on every engine.
macro_rules! on_every_engine {
    ($($test:ident,)*) => {
        mod folder {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::app::Engine::Folder).await;
            })*
        }
        mod on_servers {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::app::Engine::Servers).await;
            })*
        }
    };
}
pub(crate) use on_every_engine;

/// A queue and a database of a test's own on servers that tests share; gone when dropped.
#[derive(Debug)]
pub(crate) struct Own {
    queue_url: String,
    prefix: String,
    server: PgConnectOptions,
    database: String,
    database_url: String,
}

impl Own {
    /// Creates and migrates them.
    pub(crate) async fn create() -> Self {
        let told = |variable: &str| {
            std::env::var(variable)
                .expect("run by `cargo xtask test`, which starts the servers and names them")
        };
        let (queue_url, server_url) = (told("REDIS_URL"), told("DATABASE_URL"));
        let name = format!("chargegate_it_{:016x}", rand::random::<u64>());
        let server: PgConnectOptions = server_url.parse().unwrap();
        let mut admin = server.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
        let database_url = server.clone().database(&name).to_url_lossy().to_string();
        let own = Self { queue_url, prefix: name.clone(), server, database: name, database_url };
        let mut migrate = program();
        own.tell(migrate.arg("migrate").env_clear());
        let migrated = migrate.output().await.unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        own
    }

    /// Tells a command where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("QUEUE_URL", &self.queue_url).env("DATABASE_URL", &self.database_url);
        command.env("CHARGEGATE_QUEUE_PREFIX", &self.prefix);
    }

    async fn delete(queue_url: String, prefix: String, server: PgConnectOptions, database: String) {
        if let Ok(mut admin) = server.connect().await {
            let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
            let _ = sqlx::query(drop).execute(&mut admin).await;
        }
        let client = redis::Client::open(queue_url).unwrap();
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
            let keys: Vec<String> = connection.keys(format!("{prefix}:*")).await.unwrap_or_default();
            let _: Result<(), _> = connection.del(keys).await;
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let (queue_url, prefix) = (self.queue_url.clone(), self.prefix.clone());
        let delete = Self::delete(queue_url, prefix, self.server.clone(), self.database.clone());
        // A test's own runtime cannot be waited for here.
        let done = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(delete);
        });
        let _ = done.join();
    }
}
