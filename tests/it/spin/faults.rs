//! Redis servers that fail and recover: a reused instance recovers as well.

use std::time::Duration;

use chargegate_servers::{RedisServer, redis_server, valkey_server};

use super::host::SpinHost;
use super::support::{TestStream, assert_accepted, assert_refused, assert_refuses_in, info, once, post};
use crate::host::support::bounded;

/// Timeout of the queue in tests with a hung server.
const SHORT_TIMEOUT: (&str, &str) = ("queue_timeout_ms", "2000");
/// Less than the 50 s after which the edge itself gives up, so that the queue's own timeout must have ended the call.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(40);

/// Starts the application on its own server and opens its connection.
async fn up(redis: &RedisServer) -> SpinHost {
    up_with(redis, ("queue_timeout_ms", "20000")).await
}

async fn up_with(redis: &RedisServer, timeout: (&str, &str)) -> SpinHost {
    let spin = SpinHost::up([("queue_url", &*redis.url()), timeout]).await;
    assert_accepted(&post(&mut spin.connect().await).await);
    spin
}

/// Asserts that the next request is accepted by the same instance.
async fn assert_recovered(spin: &SpinHost) {
    assert_accepted(&post(&mut spin.connect().await).await);
    assert_eq!(spin.instances(), 1);
}

#[test]
fn a_killed_server_is_503_and_is_used_again_after_its_restart() {
    bounded(async {
        let mut redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        redis.kill().unwrap();
        for _ in 0..3 {
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        }
        redis.restart().unwrap();
        assert_recovered(&spin).await;
        // A restart between two requests.
        redis.kill().unwrap();
        redis.restart().unwrap();
        assert_recovered(&spin).await;
    });
}

#[test]
fn a_hung_server_is_503_before_the_edge_gives_up() {
    bounded(async {
        let redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let spin = up_with(&redis, SHORT_TIMEOUT).await;
        redis.signal("STOP").unwrap();
        // The first request has a connection, the second must open one.
        for _ in 0..2 {
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "did not confirm in time").await;
        }
        redis.signal("CONT").unwrap();
        assert_recovered(&spin).await;
    });
}

#[test]
fn an_edge_that_times_out_first_leaves_the_queue_usable() {
    bounded(async {
        let redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let variables =
            [("queue_url", &*redis.url()), ("queue_timeout_ms", "60000"), ("enqueue_timeout_ms", "200")];
        let spin = SpinHost::up(variables).await;
        assert_accepted(&post(&mut spin.connect().await).await);
        redis.signal("STOP").unwrap();
        for _ in 0..2 {
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "did not confirm in time").await;
        }
        redis.signal("CONT").unwrap();
        assert_recovered(&spin).await;
    });
}

#[test]
fn a_cut_connection_fails_no_request() {
    bounded(async {
        let redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        for confirmed in 2..5 {
            let killed: i64 = once(&redis.url(), "CLIENT KILL TYPE normal SKIPME yes");
            assert_eq!(killed, 1);
            assert_recovered(&spin).await;
            let depth: u64 = once(&redis.url(), "XLEN {chargegate}:messages");
            assert_eq!(depth, confirmed);
        }
    });
}

#[test]
fn a_server_with_a_password_gets_the_configured_one() {
    bounded(async {
        let password = "p@ss:/?#%wörd";
        let redis = RedisServer::start(&redis_server(), &["--requirepass", password]).unwrap();
        for wrong in ["", "wrong"] {
            let spin = SpinHost::up([("queue_url", &*redis.url()), ("queue_password", wrong)]).await;
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        }
        let spin = SpinHost::up([("queue_url", &*redis.url()), ("queue_password", password)]).await;
        assert_accepted(&post(&mut spin.connect().await).await);
    });
}

#[test]
fn a_server_without_memory_is_a_full_queue() {
    bounded(async {
        for server in [redis_server(), valkey_server()] {
            let redis = RedisServer::start(&server, &[]).unwrap();
            let spin = up(&redis).await;
            let () = once(&redis.url(), "CONFIG SET maxmemory 1");
            assert_refused(&post(&mut spin.connect().await).await, "the queue is full");
            let () = once(&redis.url(), "CONFIG SET maxmemory 0");
            let connections = info(&redis.url(), "stats", "total_connections_received");
            assert_recovered(&spin).await;
            let after = info(&redis.url(), "stats", "total_connections_received");
            assert_eq!(after, connections.map(|count| count + 1), "the connection was closed");
        }
    });
}

#[test]
fn a_server_that_has_become_a_replica_is_503_until_it_is_a_primary_again() {
    bounded(async {
        let redis = RedisServer::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        let () = once(&redis.url(), "REPLICAOF 127.0.0.1 1");
        assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        let () = once(&redis.url(), "REPLICAOF NO ONE");
        assert_recovered(&spin).await;
    });
}

#[test]
fn a_cluster_node_is_503_until_it_owns_the_slot_of_the_keys() {
    bounded(async {
        for program in [redis_server(), valkey_server()] {
            let redis = RedisServer::start(&program, &["--cluster-enabled", "yes"]).unwrap();
            let spin = SpinHost::up([("queue_url", &*redis.url())]).await;
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
            let () = once(&redis.url(), "CLUSTER ADDSLOTSRANGE 0 16383");
            // The node serves its slots a moment later.
            while !once::<String>(&redis.url(), "CLUSTER INFO").contains("cluster_state:ok") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_recovered(&spin).await;
        }
    });
}

#[test]
fn a_cluster_node_that_redirects_is_503() {
    bounded(async {
        let nodes =
            [(); 2].map(|()| RedisServer::start(&redis_server(), &["--cluster-enabled", "yes"]).unwrap());
        for (node, slots) in nodes.iter().zip(["0 8191", "8192 16383"]) {
            let () = once(&node.url(), &format!("CLUSTER ADDSLOTSRANGE {slots}"));
        }
        let () = once(&nodes[0].url(), &format!("CLUSTER MEET 127.0.0.1 {}", nodes[1].port()));
        let slot: u16 = once(&nodes[0].url(), "CLUSTER KEYSLOT {chargegate}:messages");
        let (owner, other) = if slot < 8_192 { (&nodes[0], &nodes[1]) } else { (&nodes[1], &nodes[0]) };
        for node in &nodes {
            while !once::<String>(&node.url(), "CLUSTER INFO").contains("cluster_state:ok") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let spin = SpinHost::up([("queue_url", &*other.url())]).await;
        assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        let spin = SpinHost::up([("queue_url", &*owner.url())]).await;
        assert_accepted(&post(&mut spin.connect().await).await);
    });
}

#[test]
fn a_key_of_another_type_is_503() {
    bounded(async {
        let mut stream = TestStream::new();
        let (url, prefix) = (stream.url.clone(), stream.prefix.clone());
        let () = stream.command(&format!("SET {{{prefix}}}:messages taken"));
        let spin = SpinHost::up([("queue_url", &*url), ("queue_prefix", &prefix)]).await;
        assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        stream.clear();
        assert_recovered(&spin).await;
    });
}

#[test]
fn malformed_queue_settings_confirm_nothing() {
    bounded(async {
        let stream = TestStream::new();
        for wrong in [("queue_limit", "0"), ("queue_timeout_ms", "1s")] {
            let spin =
                SpinHost::up([("queue_url", &*stream.url), ("queue_prefix", &stream.prefix), wrong]).await;
            assert_refuses_in(&spin, REFUSAL_DEADLINE, "the queue is unavailable").await;
        }
    });
}
