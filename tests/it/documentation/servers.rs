//! A queue and an empty database on the servers of the tests, for the commands of one page.

use redis::Commands as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// The queue and the database; deleted when dropped.
pub(super) struct PageServers {
    /// Prefix of the keys and name of the database.
    pub(super) name: String,
    pub(super) queue_url: String,
    pub(super) database_url: String,
    server: PgConnectOptions,
}

impl PageServers {
    /// Creates the database, without a schema.
    pub(super) async fn create() -> Self {
        let name = format!("chargegate_docs_{:016x}", rand::random::<u64>());
        let server: PgConnectOptions = required_env("DATABASE_URL").parse().unwrap();
        execute(&server, format!("CREATE DATABASE {name}")).await;
        let mut database_url = server.clone().database(&name).to_url_lossy();
        // The query would need quotes in a shell.
        database_url.set_query(None);
        let database_url = database_url.to_string();
        Self { name, queue_url: required_env("REDIS_URL"), database_url, server }
    }
}

impl Drop for PageServers {
    fn drop(&mut self) {
        if let Ok(mut connection) =
            redis::Client::open(self.queue_url.as_str()).and_then(|client| client.get_connection())
        {
            let keys: Vec<String> = connection.keys(format!("*{}*", self.name)).unwrap_or_default();
            let _: Result<(), _> = connection.del(keys);
        }
        let (server, statement) =
            (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // The runtime of the test cannot be blocked here.
        let dropped = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move { execute(&server, statement).await });
        });
        let _ = dropped.join();
    }
}

async fn execute(server: &PgConnectOptions, statement: String) {
    let mut connection = server.connect().await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn required_env(variable: &str) -> String {
    std::env::var(variable).expect("run by `cargo xtask test`, which starts the servers and names them")
}
