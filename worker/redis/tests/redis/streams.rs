//! Redis and Valkey streams.

use std::env;
use std::marker::PhantomData;
use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use chargegate_redis::{RedisQueue, RedisSettings};
use chargegate_redis_layout::stream_key;
use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::{Effects, Random as _, SystemRandom};
use redis::aio::MultiplexedConnection;
use redis::cmd;
use tokio::sync::Mutex;

use chargegate_storage::conformance::queues::{QueueFixture, QueueHandle, QueueOptions};

/// Which server, and how many streams.
pub(crate) trait Kind: Send + Sync + 'static {
    const URL: &'static str;
    const STREAMS: u16;
}

pub(crate) struct OneOnRedis;

impl Kind for OneOnRedis {
    const URL: &'static str = "REDIS_URL";
    const STREAMS: u16 = 1;
}

pub(crate) struct ThreeOnRedis;

impl Kind for ThreeOnRedis {
    const URL: &'static str = "REDIS_URL";
    const STREAMS: u16 = 3;
}

pub(crate) struct OneOnValkey;

impl Kind for OneOnValkey {
    const URL: &'static str = "VALKEY_URL";
    const STREAMS: u16 = 1;
}

/// The streams of one test on a server that all share.
pub(crate) struct Streams<K> {
    url: String,
    settings: RedisSettings,
    edge: RedisQueue,
    /// The workers that were not killed, to close by.
    engines: Mutex<Vec<(QueueHandle, RedisQueue)>>,
    kind: PhantomData<K>,
}

/// The URL in a variable.
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

/// Somebody who works on the server by hand.
pub(crate) async fn by_hand(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[async_trait]
impl<K: Kind> QueueFixture for Streams<K> {
    const ORDERED: bool = K::STREAMS == 1;

    async fn start(QueueOptions { depth_limit, message_lease }: QueueOptions) -> Self {
        let streams = NonZeroU16::new(K::STREAMS).unwrap();
        let url = url(K::URL);
        let settings = RedisSettings { depth_limit, message_lease, streams, ..settings(&url) };
        let edge = open(&settings).await;
        Self { url, settings, edge, engines: Mutex::default(), kind: PhantomData }
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
        let stream = stream_key(&self.settings.prefix, 0);
        let mut connection = by_hand(&self.url).await;
        let mut command = cmd("XADD");
        command.arg(stream).arg("*").arg("m").arg(Self::NO_MESSAGE);
        command.query_async::<()>(&mut connection).await.unwrap();
    }

    async fn kill(&self, worker: QueueHandle) -> QueueHandle {
        // Without its tasks and connections it is silent, as a process that is gone.
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

impl<K> Drop for Streams<K> {
    /// Leaves nothing on the server. Keys that say who lives end by themselves.
    fn drop(&mut self) {
        let Ok(mut connection) = redis::Client::open(&*self.url).and_then(|client| client.get_connection())
        else {
            return;
        };
        let mut command = cmd("DEL");
        for stream in 0..self.settings.streams.get() {
            command.arg(stream_key(&self.settings.prefix, stream));
        }
        let _ = command.arg(format!("{}:history", self.settings.prefix)).query::<()>(&mut connection);
    }
}

mod on_redis {
    chargegate_storage::queue_suite!(super::Streams<super::OneOnRedis>);
}

mod on_redis_with_several_streams {
    chargegate_storage::queue_suite!(super::Streams<super::ThreeOnRedis>);
}

mod on_valkey {
    chargegate_storage::queue_suite!(super::Streams<super::OneOnValkey>);
}
