//! The embedded engine: one process, so one worker at a time.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_sqlite::{SqliteEngine, SqliteSettings};
use chargegate_storage::Effects;
use chargegate_storage::queue::EnqueueFailure;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::sync::Mutex;

use chargegate_storage::conformance::queues::{QueueFixture, QueueHandle, QueueOptions};

pub(crate) struct SqliteTestQueue {
    folder: TempDir,
    settings: SqliteSettings,
    engine: Mutex<SqliteEngine>,
}

impl SqliteTestQueue {
    async fn engine(&self) -> SqliteEngine {
        self.engine.lock().await.clone()
    }
}

#[async_trait]
impl QueueFixture for SqliteTestQueue {
    const ORDERED: bool = true;

    async fn start(QueueOptions { depth_limit, message_lease }: QueueOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqliteSettings { depth_limit, message_lease, ..SqliteSettings::default() };
        let engine = SqliteEngine::open(folder.path(), settings.clone(), Effects::system()).await.unwrap();
        Self { folder, settings, engine: Mutex::new(engine) }
    }

    async fn worker(&self) -> QueueHandle {
        Arc::new(self.engine().await)
    }

    async fn enqueue(&self, body: &str) -> Result<(), EnqueueFailure> {
        self.engine().await.enqueue(body.to_owned()).await
    }

    async fn enqueue_no_message(&self) {
        let file = self.folder.path().join("chargegate.db");
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        let insert = "INSERT INTO queue (enqueued_at, visible_at, deliveries, body) \
                      VALUES (1, 1, 0, CAST(? AS TEXT))";
        sqlx::query(insert).bind(Self::NO_MESSAGE).execute(&mut connection).await.unwrap();
    }

    async fn kill(&self, worker: QueueHandle) -> QueueHandle {
        drop(worker);
        let mut engine = self.engine.lock().await;
        // Closing only frees the folder; the next start ends the leases.
        engine.close().await;
        *engine =
            SqliteEngine::open(self.folder.path(), self.settings.clone(), Effects::system()).await.unwrap();
        Arc::new(engine.clone())
    }

    async fn close(&self, _worker: &QueueHandle) {
        self.engine().await.close().await;
    }

    async fn server_time(&self) -> Option<u64> {
        None
    }
}

chargegate_storage::queue_suite!(SqliteTestQueue);
