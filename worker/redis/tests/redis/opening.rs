//! Obstacles to a start are reported in one line.

use std::time::Duration;

use chargegate_redis::{RedisInspector, RedisOpenError, RedisQueue, RedisSettings, RedisWarning};
use chargegate_storage::Effects;
use chargegate_storage::queue::Queue as _;
use redis::cmd;

use super::{ask, on, servers, start};
use crate::streams::settings;

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
async fn a_server_that_is_not_there() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    drop(server);
    assert!(matches!(refused(settings).await, RedisOpenError::Unreachable { .. }));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let server = start(&servers()[0], &[]);
    let url = server.url().replace("redis:", "rediss:");
    assert!(matches!(refused(settings(&url)).await, RedisOpenError::Unreachable { .. }));
}

#[tokio::test]
async fn credentials_that_are_missing_or_wrong() {
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
async fn a_replica_and_a_cluster() {
    for program in servers() {
        let primary = start(&program, &[]);
        let replica = start(&program, &["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        assert!(matches!(refused(on(&replica)).await, RedisOpenError::Replica { .. }));
        let cluster = start(&program, &["--cluster-enabled", "yes"]);
        assert!(matches!(refused(on(&cluster)).await, RedisOpenError::Cluster { .. }));
    }
}

#[tokio::test]
async fn keys_that_are_something_else() {
    for program in servers() {
        let server = start(&program, &[]);
        for (key, expected) in [("{0}", "stream"), ("history", "hash")] {
            let settings = on(&server);
            let key = format!("{}:{key}", settings.prefix);
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
            let found = warnings(on(&server)).await;
            assert_eq!(found, expected, "{options:?}");
        }
    }
}

#[tokio::test]
async fn another_number_of_streams_than_the_queue_has() {
    for program in servers() {
        let server = start(&program, &[]);
        let queue = on(&server);
        let of = |streams: u16| RedisSettings { streams: streams.try_into().unwrap(), ..queue.clone() };
        assert_eq!(warnings(of(3)).await, []);
        for other in [1, 2, 4] {
            let error = refused(of(other)).await;
            assert!(matches!(&error, RedisOpenError::Streams { found, .. } if found == "3"), "{error}");
            let read_only = RedisInspector::open(&of(other), Effects::system()).await;
            assert!(matches!(read_only, Err(RedisOpenError::Streams { .. })));
        }
        // An edge wrote to more streams before any worker noted how many there are.
        let () = ask(&server.url(), cmd("DEL").arg(format!("{}:history", queue.prefix))).await;
        assert!(matches!(refused(of(2)).await, RedisOpenError::Streams { .. }));
        assert_eq!(warnings(of(3)).await, []);
    }
}

#[tokio::test]
async fn a_worker_starts_while_memory_is_full_and_makes_room() {
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
