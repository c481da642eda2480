//! Accepted requests, and the limits of the queue.

use chargegate_core::SessionMessage;
use chargegate_servers::{RedisServer, redis_server, valkey_server};

use super::host::SpinHost;
use super::support::{TestStream, assert_accepted, assert_refused, info, post};
use crate::host::support::bounded;

#[test]
fn an_acknowledged_message_is_in_its_stream_byte_for_byte() {
    bounded(async {
        let mut stream = TestStream::new();
        let (url, prefix) = (stream.url.clone(), stream.prefix.clone());
        let spin = SpinHost::up([("queue_url", &*url), ("queue_prefix", &prefix)]).await;
        let mut client = spin.connect().await;
        let mut ids = Vec::new();
        for _ in 0..32 {
            let reply = post(&mut client).await;
            assert_accepted(&reply);
            ids.push(reply.header("x-request-id").unwrap().to_owned());
        }
        let mut found = Vec::new();
        for text in stream.messages() {
            let message = SessionMessage::decode(text.as_bytes()).unwrap();
            assert_eq!(message.encode(), text);
            assert_eq!(message.callback_url.as_str(), "https://client.example/cb?a=%7B");
            found.push(message.id.to_string());
        }
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids);
    });
}

#[test]
fn a_full_queue_refuses_messages_until_it_has_capacity() {
    bounded(async {
        let mut stream = TestStream::new();
        let (url, prefix) = (stream.url.clone(), stream.prefix.clone());
        let spin =
            SpinHost::up([("queue_url", &*url), ("queue_prefix", &prefix), ("queue_limit", "3")]).await;
        let mut client = spin.connect().await;
        for _ in 0..3 {
            assert_accepted(&post(&mut client).await);
        }
        assert_refused(&post(&mut client).await, "the queue is full");
        assert_eq!(stream.depth(), 3);
        let _: () = stream.command(&format!("XTRIM {{{prefix}}}:messages MAXLEN = 2"));
        assert_accepted(&post(&mut client).await);
        assert_refused(&post(&mut client).await, "the queue is full");
        assert_eq!(stream.depth(), 3);
    });
}

#[test]
fn concurrent_requests_respect_the_limit() {
    bounded(async {
        let mut stream = TestStream::new();
        let (url, prefix) = (stream.url.clone(), stream.prefix.clone());
        let variables = [("queue_url", &*url), ("queue_prefix", &prefix), ("queue_limit", "20")];
        let spin = SpinHost::up(variables).await;
        let mut sent = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let mut client = spin.connect().await;
            sent.spawn(async move { post(&mut client).await.status });
        }
        let answers = sent.join_all().await;
        let count = |status| answers.iter().filter(|answer| **answer == status).count();
        assert_eq!((count(202), count(503)), (20, 20));
        assert_eq!(stream.depth(), 20);
    });
}

#[test]
fn an_instance_reuses_its_connection() {
    bounded(async {
        let redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let spin = SpinHost::up([("queue_url", &*redis.url())]).await;
        let connections = || info(&redis.url(), "stats", "total_connections_received").unwrap();
        let before = connections();
        let mut client = spin.connect().await;
        for _ in 0..200 {
            assert_accepted(&post(&mut client).await);
        }
        // The command itself needs one connection, and Spin replaces an instance after 128 requests.
        assert_eq!((connections() - before - 1, spin.instances()), (2, 2));
    });
}

#[test]
fn a_configured_sync_is_requested_from_the_server() {
    bounded(async {
        let valkey = RedisServer::start(&valkey_server(), &["--appendfsync", "everysec"]).unwrap();
        let variables =
            [("queue_url", &*valkey.url()), ("queue_timeout_ms", "10000"), ("enqueue_timeout_ms", "20000")];
        let waits = || info(&valkey.url(), "commandstats", "cmdstat_waitaof").unwrap_or(0);
        let without = SpinHost::up(variables).await;
        assert_accepted(&post(&mut without.connect().await).await);
        assert_eq!(waits(), 0);
        let [url, timeout, edge] = variables;
        let with = SpinHost::up([url, timeout, edge, ("queue_waitaof_ms", "9000")]).await;
        assert_accepted(&post(&mut with.connect().await).await);
        assert_eq!(waits(), 1);
    });
}

#[test]
fn a_message_without_its_sync_is_not_confirmed() {
    bounded(async {
        // This server never syncs on its own.
        let valkey = RedisServer::start(&valkey_server(), &["--appendfsync", "no"]).unwrap();
        let spin = SpinHost::up([("queue_url", &*valkey.url()), ("queue_waitaof_ms", "50")]).await;
        assert_refused(&post(&mut spin.connect().await).await, "did not confirm in time");
        // This server lacks the command.
        let redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let spin = SpinHost::up([("queue_url", &*redis.url()), ("queue_waitaof_ms", "50")]).await;
        assert_refused(&post(&mut spin.connect().await).await, "the queue is unavailable");
    });
}
