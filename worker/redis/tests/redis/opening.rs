//! Obstacles are reported in one line when the queue is opened.

use std::time::Duration;

use chargegate_redis::{RedisOpenError, RedisQueue, RedisSettings, RedisWarning};
use chargegate_redis_layout::{history_key, stream_key};
use chargegate_servers::RedisServer;
use chargegate_storage::Effects;
use chargegate_storage::queue::Queue as _;
use redis::cmd;

use super::{ask, eventually, on, servers, start};
use crate::suite::settings;

async fn refused(settings: RedisSettings) -> RedisOpenError {
    let error = RedisQueue::open(settings, Effects::system()).await.map(|_| ()).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(!format!("{error:?} {line}").contains("s3cret"), "{line}");
    error
}

async fn warnings(settings: RedisSettings) -> Vec<RedisWarning> {
    let (engine, warnings) = RedisQueue::open(settings, Effects::system()).await.unwrap();
    engine.close().await;
    warnings
}

#[tokio::test]
async fn a_server_that_cannot_be_reached() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    drop(server);
    assert!(matches!(refused(settings).await, RedisOpenError::Unreachable { .. }));
}

#[tokio::test]
async fn a_server_without_tls() {
    let server = start(&servers()[0], &[]);
    let url = server.url().replace("redis:", "rediss:");
    assert!(matches!(refused(settings(&url)).await, RedisOpenError::Unreachable { .. }));
}

#[tokio::test]
async fn missing_or_wrong_credentials() {
    for program in servers() {
        let server = start(&program, &["--requirepass", "right"]);
        assert!(matches!(refused(on(&server)).await, RedisOpenError::Credentials { .. }));
        for user in ["", "somebody"] {
            let url = format!("redis://{user}:s3cret@127.0.0.1:{}", server.port());
            assert!(matches!(refused(settings(&url)).await, RedisOpenError::Credentials { .. }));
        }
        let url = format!("redis://:right@127.0.0.1:{}", server.port());
        assert_eq!(warnings(settings(&url)).await, []);
    }
}

#[tokio::test]
async fn a_user_without_permission() {
    for program in servers() {
        let server = start(&program, &[]);
        let user = ["SETUSER", "weak", "on", ">s3cret", "~other:*", "+@all"];
        ask::<()>(&server.url(), cmd("ACL").arg(&user)).await;
        let url = format!("redis://weak:s3cret@127.0.0.1:{}", server.port());
        assert!(matches!(refused(settings(&url)).await, RedisOpenError::NotPermitted { .. }));
    }
}

#[tokio::test]
async fn a_server_that_evicts() {
    for program in servers() {
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let server = start(&program, &["--maxmemory", "64mb", "--maxmemory-policy", policy]);
            assert!(matches!(refused(on(&server)).await, RedisOpenError::Evicts { .. }), "{policy}");
        }
        let server = start(&program, &["--maxmemory-policy", "allkeys-lru"]);
        assert_eq!(warnings(on(&server)).await, [], "without a limit nothing is evicted");
    }
}

#[tokio::test]
async fn a_replica() {
    for program in servers() {
        let primary = start(&program, &[]);
        let replica = start(&program, &["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        assert!(matches!(refused(on(&replica)).await, RedisOpenError::Replica { .. }));
    }
}

/// Waits until a node of a cluster serves its slots.
async fn cluster_is_ok(server: &RedisServer) {
    eventually("the cluster is up", async || {
        let info: String = ask(&server.url(), cmd("CLUSTER").arg("INFO")).await;
        info.contains("cluster_state:ok").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cluster_node_that_owns_the_slot_is_accepted() {
    for program in servers() {
        let server = start(&program, &["--cluster-enabled", "yes"]);
        assert!(matches!(refused(on(&server)).await, RedisOpenError::OtherNode { .. }), "no slots yet");
        ask::<()>(&server.url(), cmd("CLUSTER").arg(&["ADDSLOTSRANGE", "0", "16383"])).await;
        cluster_is_ok(&server).await;
        let (queue, _) = RedisQueue::open(on(&server), Effects::system()).await.unwrap();
        queue.enqueue("a".to_owned()).await.unwrap();
        let leased = queue.lease(1, Duration::from_secs(10)).await.unwrap();
        queue.ack(leased.iter().map(|message| message.key.clone()).collect()).await.unwrap();
        assert_eq!((leased.len(), queue.depth().await.unwrap().waiting), (1, 0));
        queue.close().await;
    }
}

#[tokio::test]
async fn a_cluster_node_that_does_not_own_the_slot_is_refused() {
    for program in servers() {
        let nodes =
            ["0 8191", "8192 16383"].map(|slots| (start(&program, &["--cluster-enabled", "yes"]), slots));
        for (node, slots) in &nodes {
            let slots: Vec<_> = slots.split(' ').collect();
            ask::<()>(&node.url(), cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(slots)).await;
        }
        let [(one, _), (other, _)] = &nodes;
        let port = other.port().to_string();
        ask::<()>(&one.url(), cmd("CLUSTER").arg(&["MEET", "127.0.0.1", &port])).await;
        cluster_is_ok(one).await;
        cluster_is_ok(other).await;
        let settings = on(one);
        let elsewhere = RedisSettings { url: on(other).url, ..settings.clone() };
        let mut refusals = 0;
        for settings in [settings, elsewhere] {
            match RedisQueue::open(settings, Effects::system()).await {
                Ok((queue, _)) => queue.close().await,
                Err(RedisOpenError::OtherNode { detail, .. }) => {
                    assert!(detail.contains("MOVED"), "{detail}");
                    refusals += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refusals, 1, "one of the nodes owns the slot");
    }
}

#[tokio::test]
async fn a_key_of_another_type() {
    for program in servers() {
        let server = start(&program, &[]);
        for expected in ["stream", "hash"] {
            let settings = on(&server);
            let prefix = &settings.prefix;
            let key = if expected == "stream" { stream_key(prefix) } else { history_key(prefix) };
            ask::<()>(&server.url(), cmd("SET").arg(&key).arg("x")).await;
            match refused(settings).await {
                RedisOpenError::WrongType { key: named, expected: wanted, found, .. } => {
                    assert_eq!((named, wanted, &*found), (key, expected, "string"));
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[tokio::test]
async fn persistence_that_is_off_is_a_warning() {
    for program in servers() {
        for (options, expected) in [
            (["--appendonly", "no"], vec![RedisWarning::NoAppendOnlyFile]),
            (["--appendfsync", "no"], vec![RedisWarning::NeverSynced]),
            (["--appendfsync", "everysec"], vec![]),
            (["--appendfsync", "always"], vec![]),
        ] {
            let server = start(&program, &options);
            assert_eq!(warnings(on(&server)).await, expected, "{options:?}");
        }
    }
}

#[tokio::test]
async fn a_worker_starts_while_memory_is_full_and_frees_it() {
    for program in servers() {
        let server = start(&program, &[]);
        let queue = on(&server);
        let (engine, _) = RedisQueue::open(queue.clone(), Effects::system()).await.unwrap();
        engine.enqueue("waits".to_owned()).await.unwrap();
        engine.close().await;
        let () = ask(&server.url(), cmd("CONFIG").arg(&["SET", "maxmemory", "1"])).await;
        let (engine, _) = RedisQueue::open(queue, Effects::system()).await.unwrap();
        let leased = engine.lease(1, Duration::from_secs(10)).await.unwrap();
        engine.ack(leased.iter().map(|message| message.key.clone()).collect()).await.unwrap();
        assert_eq!((leased.len(), engine.depth().await.unwrap().waiting), (1, 0));
    }
}
