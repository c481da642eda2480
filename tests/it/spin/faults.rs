//! Servers that fail, and come back: an instance that is kept goes on.

use std::time::Duration;

use chargegate_servers::{Redis, redis_server, valkey_server};

use super::host::SpinHost;
use super::support::{TestStreams, assert_accepted, assert_refused, assert_refuses_in, info, once, post};
use crate::host::support::bounded;

/// Before the edge itself gives up, with the default settings.
const EDGE_GIVES_UP: Duration = Duration::from_secs(2);

/// The application over a server of its own, with a connection kept.
async fn up(redis: &Redis) -> SpinHost {
    let spin = SpinHost::up([("queue_url", &*redis.url())]).await;
    assert_accepted(&post(&mut spin.connect().await).await);
    spin
}

/// The server is back: the same instance confirms, at once.
async fn assert_recovered(spin: &SpinHost) {
    assert_accepted(&post(&mut spin.connect().await).await);
    assert_eq!(spin.instances(), 1);
}

#[test]
fn a_dead_server_is_503_and_found_again_after_its_restart() {
    bounded(async {
        let mut redis = Redis::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        redis.kill().unwrap();
        for _ in 0..3 {
            assert_refuses_in(&spin, EDGE_GIVES_UP, "the queue is unavailable").await;
        }
        redis.restart().unwrap();
        assert_recovered(&spin).await;
        // A restart that no request has seen.
        redis.kill().unwrap();
        redis.restart().unwrap();
        assert_recovered(&spin).await;
    });
}

#[test]
fn a_hung_server_is_503_before_the_edge_gives_up() {
    bounded(async {
        let redis = Redis::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        redis.signal("STOP").unwrap();
        // The first has a connection, the second has to open one.
        for _ in 0..2 {
            assert_refuses_in(&spin, EDGE_GIVES_UP, "did not confirm in time").await;
        }
        redis.signal("CONT").unwrap();
        assert_recovered(&spin).await;
    });
}

#[test]
fn an_edge_that_gives_up_first_leaves_the_queue_in_order() {
    bounded(async {
        let redis = Redis::start(&redis_server(), &[]).unwrap();
        let variables =
            [("queue_url", &*redis.url()), ("queue_timeout_ms", "60000"), ("enqueue_timeout_ms", "200")];
        let spin = SpinHost::up(variables).await;
        assert_accepted(&post(&mut spin.connect().await).await);
        redis.signal("STOP").unwrap();
        for _ in 0..2 {
            assert_refuses_in(&spin, EDGE_GIVES_UP, "did not confirm in time").await;
        }
        redis.signal("CONT").unwrap();
        assert_recovered(&spin).await;
    });
}

#[test]
fn a_connection_that_was_cut_costs_no_request() {
    bounded(async {
        let redis = Redis::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        for confirmed in 2..5 {
            let killed: i64 = once(&redis.url(), "CLIENT KILL TYPE normal SKIPME yes");
            assert_eq!(killed, 1);
            assert_recovered(&spin).await;
            let depth: u64 = once(&redis.url(), "XLEN chargegate:{0}");
            assert_eq!(depth, confirmed);
        }
    });
}

#[test]
fn a_server_that_wants_a_password_gets_the_one_that_is_set() {
    bounded(async {
        let password = "p@ss:/?#%wörd";
        let redis = Redis::start(&redis_server(), &["--requirepass", password]).unwrap();
        for wrong in ["", "wrong"] {
            let spin = SpinHost::up([("queue_url", &*redis.url()), ("queue_password", wrong)]).await;
            assert_refuses_in(&spin, EDGE_GIVES_UP, "the queue is unavailable").await;
        }
        let spin = SpinHost::up([("queue_url", &*redis.url()), ("queue_password", password)]).await;
        assert_accepted(&post(&mut spin.connect().await).await);
    });
}

#[test]
fn a_server_without_memory_is_a_full_queue() {
    bounded(async {
        for server in [redis_server(), valkey_server()] {
            let redis = Redis::start(&server, &[]).unwrap();
            let spin = up(&redis).await;
            let () = once(&redis.url(), "CONFIG SET maxmemory 1");
            assert_refused(&post(&mut spin.connect().await).await, "the queue is full");
            let () = once(&redis.url(), "CONFIG SET maxmemory 0");
            let connections = info(&redis.url(), "stats", "total_connections_received");
            assert_recovered(&spin).await;
            let after = info(&redis.url(), "stats", "total_connections_received");
            assert_eq!(after, connections.map(|count| count + 1), "the connection was given up");
        }
    });
}

#[test]
fn a_server_that_has_become_a_replica_is_503_until_it_is_a_primary_again() {
    bounded(async {
        let redis = Redis::start(&redis_server(), &[]).unwrap();
        let spin = up(&redis).await;
        let () = once(&redis.url(), "REPLICAOF 127.0.0.1 1");
        assert_refuses_in(&spin, EDGE_GIVES_UP, "the queue is unavailable").await;
        let () = once(&redis.url(), "REPLICAOF NO ONE");
        assert_recovered(&spin).await;
    });
}

#[test]
fn a_key_of_another_type_is_503() {
    bounded(async {
        let mut streams = TestStreams::new();
        let (url, prefix) = (streams.url.clone(), streams.prefix.clone());
        let () = streams.command(&format!("SET {prefix}:{{0}} taken"));
        let spin = SpinHost::up([("queue_url", &*url), ("queue_prefix", &prefix)]).await;
        assert_refuses_in(&spin, EDGE_GIVES_UP, "the queue is unavailable").await;
        streams.clear();
        assert_recovered(&spin).await;
    });
}

#[test]
fn malformed_settings_of_the_queue_confirm_nothing() {
    bounded(async {
        let streams = TestStreams::new();
        for wrong in [("queue_limit", "0"), ("queue_streams", "many"), ("queue_timeout_ms", "1s")] {
            let spin =
                SpinHost::up([("queue_url", &*streams.url), ("queue_prefix", &streams.prefix), wrong]).await;
            assert_refuses_in(&spin, EDGE_GIVES_UP, "the queue is unavailable").await;
        }
    });
}
