//! Databases for tests: each test has its own, copied from a migrated template and dropped at the end.

use std::time::Duration;

use chargegate_postgres::{DatabaseUrl, MigrateError, migrate};
use chargegate_storage::{Random as _, SystemRandom};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "chargegate_template";
const ROLE: &str = "chargegate_worker";
/// Statements that the documentation asks an owner to run.
const ROLE_MD: &str = include_str!("../../migrations/ROLE.md");

/// A server that tests share.
#[derive(Debug)]
pub(crate) struct TestServer {
    variable: &'static str,
    template: OnceCell<()>,
}

/// The oldest PostgreSQL that is supported.
pub(crate) static OLDEST: TestServer = TestServer::new("DATABASE_URL");
/// A recent PostgreSQL.
pub(crate) static NEXT: TestServer = TestServer::new("DATABASE_NEXT_URL");

impl TestServer {
    const fn new(variable: &'static str) -> Self {
        Self { variable, template: OnceCell::const_new() }
    }

    /// The URL of its maintenance database, for a superuser.
    pub(crate) fn url(&self) -> String {
        std::env::var(self.variable).unwrap_or_else(|_| {
            panic!("{} is not set: run by `cargo xtask test`, which sets it", self.variable)
        })
    }

    /// Creates a database with the schema.
    pub(crate) async fn database(&self) -> TestDatabase {
        let url = self.url();
        self.template.get_or_init(|| async { prepare(&url).await }).await;
        TestDatabase::create(&url, &format!(" TEMPLATE {TEMPLATE}")).await
    }

    /// Creates an empty database.
    pub(crate) async fn empty_database(&self) -> TestDatabase {
        TestDatabase::create(&self.url(), "").await
    }
}

/// Migrates the template, and grants the worker's role the documented privileges.
async fn prepare(url: &str) {
    let mut postgres = connect(url).await;
    // Other test programs prepare the same.
    execute(&mut postgres, "SELECT pg_advisory_lock(4711)").await;
    let template = of_database(url, TEMPLATE);
    if !exists(&mut postgres, TEMPLATE).await {
        execute(&mut postgres, &format!("CREATE DATABASE {TEMPLATE}")).await;
    }
    if let Err(MigrateError::Changed { .. }) = migrate(&parsed(&template)).await {
        execute(&mut postgres, &format!("DROP DATABASE {TEMPLATE} WITH (FORCE)")).await;
        execute(&mut postgres, &format!("CREATE DATABASE {TEMPLATE}")).await;
    }
    migrate(&parsed(&template)).await.unwrap();
    let mut owner = connect(&template).await;
    grant(&mut owner).await;
    owner.close().await.unwrap();
    execute(&mut postgres, "SELECT pg_advisory_unlock(4711)").await;
}

/// Runs the documented statements; the role may exist already, since databases share roles.
pub(crate) async fn grant(owner: &mut PgConnection) {
    let (_, sql) = ROLE_MD.split_once("```sql\n").unwrap();
    let (sql, _) = sql.split_once("```").unwrap();
    let (create, grants) = sql.split_once(";\n").unwrap();
    let create = create.replace("choose one", ROLE);
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *owner).await {
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42710"), "{error}");
    }
    sqlx::raw_sql(grants).execute(owner).await.unwrap();
}

async fn exists(postgres: &mut PgConnection, database: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(postgres)
        .await
        .unwrap()
}

/// The database of one test.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    async fn create(server: &str, how: &str) -> Self {
        let name = format!("chargegate_test_{:016x}", SystemRandom.bits());
        let mut postgres = connect(server).await;
        execute(&mut postgres, &format!("CREATE DATABASE {name}{how}")).await;
        Self { server: server.to_owned(), name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its URL for a superuser.
    pub(crate) fn url(&self) -> String {
        of_database(&self.server, &self.name)
    }

    /// Its URL for the worker's role.
    pub(crate) fn worker_url(&self) -> String {
        let url = self.url();
        let (_, place) = url.rsplit_once('@').unwrap();
        format!("postgres://{ROLE}:{ROLE}@{place}")
    }

    /// Opens a connection beside the store.
    pub(crate) async fn by_hand(&self) -> PgConnection {
        let mut connection = connect(&self.url()).await;
        execute(&mut connection, "SET search_path = chargegate, public").await;
        connection
    }

    pub(crate) async fn execute(&self, sql: &str) {
        execute(&mut self.by_hand().await, sql).await;
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.by_hand().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    /// Ages every row: for a store that uses the database's clock, time has passed.
    pub(crate) async fn age(&self, by: Duration) {
        self.shift(i64::try_from(by.as_millis()).unwrap(), "").await;
    }

    /// Moves every row into the future.
    pub(crate) async fn age_backwards(&self, by: Duration) {
        self.shift(-i64::try_from(by.as_millis()).unwrap(), " DESC").await;
    }

    /// Partitions move in an order in which none overlaps another.
    async fn shift(&self, by: i64, order: &str) {
        self.execute(&format!(
            "DO $$
            DECLARE
                part time_partition%ROWTYPE;
                parent text;
            BEGIN
                UPDATE request SET recorded_at = recorded_at - ({by});
                UPDATE callback SET recorded_at = recorded_at - ({by}), due_at = due_at - ({by}),
                    round_started_at = round_started_at - ({by}), retried_at = retried_at - ({by});
                UPDATE receiver SET probe_at = probe_at - ({by}), updated_at = updated_at - ({by});
                UPDATE host_pause SET paused_at = paused_at - ({by}), resumed_at = resumed_at - ({by});
                UPDATE poison SET recorded_at = recorded_at - ({by});
                FOR part IN SELECT * FROM time_partition ORDER BY begins_at{order} LOOP
                    UPDATE time_partition SET begins_at = begins_at - ({by}), ends_at = ends_at - ({by}),
                        expired_until = expired_until - ({by}) WHERE id = part.id;
                    FOREACH parent IN ARRAY ARRAY['decision', 'attempt', 'duplicate'] LOOP
                        CONTINUE WHEN to_regclass(parent || '_' || part.id) IS NULL;
                        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, parent || '_' || part.id);
                        EXECUTE format('UPDATE %I SET recorded_at = recorded_at - ({by})', parent || '_' || part.id);
                        IF parent = 'attempt' THEN
                            EXECUTE format('UPDATE %I SET closed_at = closed_at - ({by})', parent || '_' || part.id);
                        END IF;
                        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                            parent, parent || '_' || part.id, part.begins_at - ({by}), part.ends_at - ({by}));
                    END LOOP;
                END LOOP;
            END $$"
        ))
        .await;
    }
}

impl Drop for TestDatabase {
    /// Drops the database in another thread, since a failed test cannot wait.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let options: PgConnectOptions = server.parse().unwrap();
                // A server that a test stopped takes its databases along.
                if let Ok(mut postgres) = options.connect().await {
                    let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                    let _ = sqlx::raw_sql(drop).execute(&mut postgres).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

/// Returns the URL of another database of the same server.
pub(crate) fn of_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

pub(crate) fn parsed(url: &str) -> DatabaseUrl {
    url.parse().unwrap()
}

pub(crate) async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    options.disable_statement_logging().connect().await.unwrap()
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}
