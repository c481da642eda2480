//! The conformance suite on Redis and Valkey.

use std::env;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use chargegate_redis::{RedisQueue, RedisSettings};
use chargegate_redis_layout::{history_key, stream_key};
use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::{Effects, Random as _, SystemRandom};
use redis::aio::MultiplexedConnection;
use redis::cmd;
use tokio::sync::Mutex;

use chargegate_storage::conformance::queues::{QueueFixture, QueueHandle, QueueOptions};

/// Variable with the URL of a server.
pub(crate) trait ServerVariable: Send + Sync + 'static {
    const NAME: &'static str;
}

pub(crate) struct RedisVariable;

impl ServerVariable for RedisVariable {
    const NAME: &'static str = "REDIS_URL";
}

pub(crate) struct ValkeyVariable;

impl ServerVariable for ValkeyVariable {
    const NAME: &'static str = "VALKEY_URL";
}

/// The queue of one test on a server that all tests share.
pub(crate) struct StreamFixture<V> {
    url: String,
    settings: RedisSettings,
    edge: RedisQueue,
    /// The workers that were not killed, to close by.
    engines: Mutex<Vec<(QueueHandle, RedisQueue)>>,
    variable: PhantomData<V>,
}

/// Returns the URL in a variable.
pub(crate) fn url(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run by `cargo xtask test`, which sets it"))
}

/// Settings of a queue that no other test uses.
pub(crate) fn settings(url: &str) -> RedisSettings {
    let prefix = format!("test-{:016x}", SystemRandom.bits());
    RedisSettings { prefix, ..RedisSettings::new(url.parse().unwrap()) }
}

pub(crate) async fn open(settings: &RedisSettings) -> RedisQueue {
    RedisQueue::open(settings.clone(), Effects::system()).await.unwrap().0
}

/// Connects a plain client.
pub(crate) async fn by_hand(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[async_trait]
impl<V: ServerVariable> QueueFixture for StreamFixture<V> {
    const ORDERED: bool = true;

    async fn start(QueueOptions { depth_limit, message_lease }: QueueOptions) -> Self {
        let url = url(V::NAME);
        let settings = RedisSettings { depth_limit, message_lease, ..settings(&url) };
        let edge = open(&settings).await;
        Self { url, settings, edge, engines: Mutex::default(), variable: PhantomData }
    }

    async fn worker(&self) -> QueueHandle {
        let engine = open(&self.settings).await;
        let worker: QueueHandle = Arc::new(engine.clone());
        self.engines.lock().await.push((Arc::clone(&worker), engine));
        worker
    }

    async fn enqueue(&self, body: &str) -> Result<(), EnqueueFailure> {
        self.edge.enqueue(body.to_owned()).await
    }

    async fn enqueue_no_message(&self) {
        let stream = stream_key(&self.settings.prefix);
        let mut connection = by_hand(&self.url).await;
        let mut command = cmd("XADD");
        command.arg(stream).arg("*").arg("m").arg(Self::NO_MESSAGE);
        command.query_async::<()>(&mut connection).await.unwrap();
    }

    async fn kill(&self, worker: QueueHandle) -> QueueHandle {
        // Without its tasks and connections it is as silent as a process that was killed.
        self.engines.lock().await.retain(|(other, _)| !Arc::ptr_eq(other, &worker));
        drop(worker);
        self.worker().await
    }

    async fn close(&self, worker: &QueueHandle) {
        for (other, engine) in self.engines.lock().await.iter() {
            if Arc::ptr_eq(other, worker) {
                engine.close().await;
            }
        }
    }

    async fn server_time(&self) -> Option<u64> {
        let mut connection = by_hand(&self.url).await;
        let (seconds, micros): (u64, u64) = cmd("TIME").query_async(&mut connection).await.unwrap();
        Some(seconds * 1_000 + micros / 1_000)
    }
}

impl<V> Drop for StreamFixture<V> {
    /// Deletes the keys of the queue. Heartbeat keys expire.
    fn drop(&mut self) {
        let Ok(mut connection) = redis::Client::open(&*self.url).and_then(|client| client.get_connection())
        else {
            return;
        };
        let mut command = cmd("DEL");
        command.arg(stream_key(&self.settings.prefix));
        let _ = command.arg(history_key(&self.settings.prefix)).query::<()>(&mut connection);
    }
}

mod on_redis {
    chargegate_storage::queue_suite!(super::StreamFixture<super::RedisVariable>);
}

mod on_valkey {
    chargegate_storage::queue_suite!(super::StreamFixture<super::ValkeyVariable>);
}
