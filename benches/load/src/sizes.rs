//! Sizes of the product's tables.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use url::Url;

use crate::error::LoadError;

/// Query of the sizes of tables, including partitions, and of their indexes.
const SIZES_QUERY: &str = "SELECT coalesce(parent.relname, part.relname)::text, \
        sum(pg_table_size(part.oid))::bigint, sum(pg_indexes_size(part.oid))::bigint \
    FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid \
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent \
    WHERE part.relnamespace = 'chargegate'::regnamespace AND part.relkind = 'r' \
    AND coalesce(parent.relname, part.relname) IN ('request', 'decision', 'attempt', 'callback') \
    GROUP BY 1 ORDER BY 1";

/// The sizes of the tables at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TableSizes {
    pub(crate) after_s: u64,
    pub(crate) tables: Vec<TableSize>,
    /// Size of the whole database.
    pub(crate) database_mb: f64,
}

/// The size of a table with its partitions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TableSize {
    pub(crate) name: String,
    pub(crate) rows: i64,
    pub(crate) heap_bytes: i64,
    pub(crate) index_bytes: i64,
    /// Bytes of table and indexes per row.
    pub(crate) bytes_per_row: Option<i64>,
}

/// A session that measures the tables, and counts its own transactions.
#[derive(Debug)]
pub(crate) struct TableSizeProbe {
    session: PgConnection,
    pub(crate) transactions: u64,
}

impl TableSizeProbe {
    /// Connects to the run's database.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub(crate) async fn open(database: &Url) -> Result<Self, LoadError> {
        let options: PgConnectOptions = database.as_str().parse()?;
        Ok(Self { session: options.disable_statement_logging().connect().await?, transactions: 0 })
    }

    /// Measures the tables.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable.
    pub(crate) async fn measure(&mut self, after: Duration) -> Result<TableSizes, LoadError> {
        let sizes: Vec<(String, i64, i64)> = sqlx::query_as(SIZES_QUERY).fetch_all(&mut self.session).await?;
        let mut tables = Vec::new();
        for (name, heap_bytes, index_bytes) in sizes {
            let count = AssertSqlSafe(format!("SELECT count(*) FROM chargegate.{name}"));
            let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut self.session).await?;
            let bytes_per_row = (heap_bytes + index_bytes).checked_div(rows);
            tables.push(TableSize { name, rows, heap_bytes, index_bytes, bytes_per_row });
        }
        let database_mb: f64 =
            sqlx::query_scalar("SELECT round(pg_database_size(current_database()) / 1e6, 1)::float8")
                .fetch_one(&mut self.session)
                .await?;
        self.transactions += u64::try_from(tables.len()).unwrap_or(0) + 2;
        Ok(TableSizes { after_s: after.as_secs(), tables, database_mb })
    }

    /// Closes the session.
    pub(crate) async fn close(self) {
        let _ = self.session.close().await;
    }
}

impl fmt::Display for TableSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} s  database {:.1} MB", self.after_s, self.database_mb)?;
        for TableSize { name, rows, heap_bytes, index_bytes, bytes_per_row } in &self.tables {
            let each = bytes_per_row.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
            write!(
                f,
                "\n         {name:<10}{rows:>10} rows{:>10} kB{:>10} kB of indexes{each:>8} bytes per row",
                heap_bytes / 1_000,
                index_bytes / 1_000
            )?;
        }
        Ok(())
    }
}
