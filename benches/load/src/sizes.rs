//! How large the tables are.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use url::Url;

use crate::failure::Failure;

/// Tables with their partitions, and what they take with their indexes.
const SIZES: &str = "SELECT coalesce(parent.relname, part.relname)::text, \
        sum(pg_table_size(part.oid))::bigint, sum(pg_indexes_size(part.oid))::bigint \
    FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid \
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent \
    WHERE part.relnamespace = 'chargegate'::regnamespace AND part.relkind = 'r' \
    AND coalesce(parent.relname, part.relname) IN ('request', 'decision', 'attempt', 'callback') \
    GROUP BY 1 ORDER BY 1";

/// The tables at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sizes {
    pub(crate) after_s: u64,
    pub(crate) tables: Vec<Table>,
    /// What all relations of the database take.
    pub(crate) database_mb: f64,
}

/// A table with its partitions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) rows: i64,
    pub(crate) heap_bytes: i64,
    pub(crate) index_bytes: i64,
    /// Of table and indexes.
    pub(crate) bytes_per_row: Option<i64>,
}

/// Looks at the tables, in few transactions.
#[derive(Debug)]
pub(crate) struct Scale {
    session: PgConnection,
    pub(crate) transactions: u64,
}

impl Scale {
    /// Connects to the run's database.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) async fn open(database: &Url) -> Result<Self, Failure> {
        let options: PgConnectOptions = database.as_str().parse()?;
        Ok(Self { session: options.disable_statement_logging().connect().await?, transactions: 0 })
    }

    /// Weighs the tables.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn weigh(&mut self, after: Duration) -> Result<Sizes, Failure> {
        let sizes: Vec<(String, i64, i64)> = sqlx::query_as(SIZES).fetch_all(&mut self.session).await?;
        let mut tables = Vec::new();
        for (name, heap_bytes, index_bytes) in sizes {
            let count = AssertSqlSafe(format!("SELECT count(*) FROM chargegate.{name}"));
            let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut self.session).await?;
            let bytes_per_row = (heap_bytes + index_bytes).checked_div(rows);
            tables.push(Table { name, rows, heap_bytes, index_bytes, bytes_per_row });
        }
        let database_mb: f64 =
            sqlx::query_scalar("SELECT round(pg_database_size(current_database()) / 1e6, 1)::float8")
                .fetch_one(&mut self.session)
                .await?;
        self.transactions += u64::try_from(tables.len()).unwrap_or(0) + 2;
        Ok(Sizes { after_s: after.as_secs(), tables, database_mb })
    }

    /// Ends the session.
    pub(crate) async fn close(self) {
        let _ = self.session.close().await;
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} s  database {:.1} MB", self.after_s, self.database_mb)?;
        for Table { name, rows, heap_bytes, index_bytes, bytes_per_row } in &self.tables {
            let each = bytes_per_row.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
            write!(
                f,
                "\n         {name:<10}{rows:>10} rows{:>10} kB{:>10} kB of indexes{each:>8} bytes a row",
                heap_bytes / 1_000,
                index_bytes / 1_000
            )?;
        }
        Ok(())
    }
}
