//! The servers: the run's database and keys, and the servers' counters.

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::args::TargetArgs;
use crate::error::LoadError;
use crate::process;
use crate::program::ProductProcess;

/// Bound on the time in which PostgreSQL ends sessions and publishes their statistics.
const STATISTICS_TIMEOUT: Duration = Duration::from_secs(10);

/// Bound on a connection and on a response of Redis. A busy machine exceeds the default of the client, 0.5 s.
const REDIS_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections to Redis and PostgreSQL, and the run's database.
#[derive(Debug)]
pub(crate) struct LoadServers {
    pub(crate) redis: MultiplexedConnection,
    /// A session with another database than the run's, so that its transactions are not counted.
    postgres: PgConnection,
    /// The run's database.
    pub(crate) database: Url,
    name: String,
    /// Process ids, if the servers run on this machine.
    pub(crate) redis_id: Option<u32>,
    pub(crate) postgres_id: Option<u32>,
    pub(crate) about: ServerDescription,
    version: i32,
}

/// Versions and relevant settings of the servers.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct ServerDescription {
    pub(crate) redis: String,
    pub(crate) postgres: String,
}

/// Counters of the servers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerCounters {
    /// Transactions in the run's database.
    pub(crate) transactions: u64,
    pub(crate) wal_bytes: u64,
    pub(crate) wal_syncs: u64,
    pub(crate) redis_commands: u64,
}

impl LoadServers {
    /// Connects, and creates a database called `name`.
    ///
    /// # Errors
    /// Returns an error if a server is unavailable.
    pub(crate) async fn open(given: &TargetArgs, name: &str) -> Result<Self, LoadError> {
        let client = redis::Client::open(given.redis_url.clone())?;
        let timeouts = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REDIS_TIMEOUT))
            .set_response_timeout(Some(REDIS_TIMEOUT));
        let mut redis = client.get_multiplexed_async_connection_with_config(&timeouts).await?;
        let info: String = redis::cmd("INFO").query_async(&mut redis).await?;
        let options: PgConnectOptions = given.database_url.as_str().parse()?;
        let mut postgres = options.disable_statement_logging().connect().await?;
        let (version, backend, about): (i32, i32, String) = sqlx::query_as(
            "SELECT current_setting('server_version_num')::integer, pg_backend_pid(), concat_ws(', ', \
             'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1), \
             (SELECT string_agg(name || '=' || current_setting(name), ', ' ORDER BY name) FROM pg_settings \
              WHERE name IN ('fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'wal_compression')))",
        )
        .fetch_one(&mut postgres)
        .await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut postgres).await?;
        let mut database = given.database_url.clone();
        database.set_path(name);
        let fsync: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("appendfsync")
            .query_async(&mut redis)
            .await
            .unwrap_or_default();
        let about = ServerDescription { redis: describe_redis(&info, fsync.get(1)), postgres: about };
        let own = |id: &u32| process::parent(*id).is_some();
        Ok(Self {
            redis,
            postgres,
            database,
            name: name.to_owned(),
            redis_id: info_of(&info, "process_id").and_then(|id| id.parse().ok()).filter(own),
            postgres_id: u32::try_from(backend).ok().and_then(process::parent),
            about,
            version,
        })
    }

    /// Creates the schema in the run's database.
    ///
    /// # Errors
    /// Returns an error if `chargegate migrate` fails.
    pub(crate) fn migrate(&self, given: &TargetArgs) -> Result<(), LoadError> {
        let url = format!("--database-url={}", self.database);
        match ProductProcess::run(given, "migrate", &[url])? {
            (_, true) => Ok(()),
            (_, false) => Err(LoadError::Ended { name: "migrate" }),
        }
    }

    /// Returns whether `chargegate reconcile` balances over the queue with this prefix and the run's database.
    ///
    /// # Errors
    /// Returns an error if the command cannot be run.
    pub(crate) fn is_balanced(&self, given: &TargetArgs, prefix: &str) -> Result<bool, LoadError> {
        let flags = [
            format!("--queue-url={}", given.redis_url),
            format!("--queue-prefix={prefix}"),
            format!("--database-url={}", self.database),
            "--json".to_owned(),
        ];
        let (books, _) = ProductProcess::run(given, "reconcile", &flags)?;
        let books: Value = serde_json::from_str(&books).unwrap_or_default();
        Ok(books.get("balanced").and_then(Value::as_bool).unwrap_or(false))
    }

    /// Waits until no session uses the run's database, and returns the counters: a session publishes its statistics when it
    /// ends.
    ///
    /// # Errors
    /// Returns an error if a server is unavailable.
    pub(crate) async fn counters(&mut self) -> Result<ServerCounters, LoadError> {
        let deadline = Instant::now() + STATISTICS_TIMEOUT;
        loop {
            let sessions: i64 =
                sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = $1")
                    .bind(&self.name)
                    .fetch_one(&mut self.postgres)
                    .await?;
            if sessions == 0 || Instant::now() > deadline {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let (transactions,): (i64,) =
            sqlx::query_as("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1")
                .bind(&self.name)
                .fetch_one(&mut self.postgres)
                .await?;
        let (wal_bytes, wal_syncs): (i64, i64) = sqlx::query_as(if self.version < 180_000 {
            "SELECT wal_bytes::bigint, wal_sync FROM pg_stat_wal"
        } else {
            "SELECT (SELECT wal_bytes::bigint FROM pg_stat_wal), \
             (SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal')"
        })
        .fetch_one(&mut self.postgres)
        .await?;
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut self.redis).await?;
        let commands = info_of(&info, "total_commands_processed").and_then(|count| count.parse().ok());
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(ServerCounters {
            transactions: number(transactions),
            wal_bytes: number(wal_bytes),
            wal_syncs: number(wal_syncs),
            redis_commands: commands.unwrap_or(0),
        })
    }

    /// Removes the run's database, and its keys, which start with `prefix`.
    ///
    /// # Errors
    /// Returns an error if a server is unavailable.
    pub(crate) async fn clean(&mut self, prefix: &str) -> Result<(), LoadError> {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{{{prefix}}}:*")).query_async(&mut self.redis).await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).query_async::<()>(&mut self.redis).await?;
        }
        let drop = AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name));
        sqlx::query(drop).execute(&mut self.postgres).await?;
        Ok(())
    }

    /// Closes the session with PostgreSQL.
    pub(crate) async fn close(self) {
        let _ = self.postgres.close().await;
    }
}

impl ServerCounters {
    /// Returns the counts since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            transactions: self.transactions.saturating_sub(earlier.transactions),
            wal_bytes: self.wal_bytes.saturating_sub(earlier.wal_bytes),
            wal_syncs: self.wal_syncs.saturating_sub(earlier.wal_syncs),
            redis_commands: self.redis_commands.saturating_sub(earlier.redis_commands),
        }
    }
}

fn describe_redis(info: &str, fsync: Option<&String>) -> String {
    let of = |name| info_of(info, name);
    let (name, version) = match of("valkey_version") {
        Some(version) => ("Valkey", Some(version)),
        None => ("Redis", of("redis_version")),
    };
    let file = if of("aof_enabled") == Some("1") { "yes" } else { "no" };
    let fsync = fsync.map_or("unknown", String::as_str);
    format!("{name} {}, appendonly={file}, appendfsync={fsync}", version.unwrap_or("unknown"))
}

/// Returns a value of `INFO`.
fn info_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}
