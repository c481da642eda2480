//! A start that fails prints one line with the variable and the remedy.

use chargegate_servers::{PostgresServer, RedisServer, postgres_bin, redis_server};
use tempfile::tempdir;
use tokio::time::timeout;

use super::system::{ServerUrls, command};
use crate::app::TEST_DEADLINE;

/// Runs a command that must fail and returns its error line.
async fn refused(urls: &ServerUrls, args: &[&str]) -> String {
    let mut refusing = command(urls);
    let output = timeout(TEST_DEADLINE, refusing.args(args).output()).await.expect("an end").unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{errors}");
    let line = errors.lines().find(|line| line.starts_with("error: ")).expect("one line").to_owned();
    assert!(!line.contains("s3cret"), "{line}");
    line
}

const WORKER: [&str; 7] =
    ["worker", "--acl-url", "http://127.0.0.1:9", "--ops-listen", "127.0.0.1:0", "--log", "error"];

#[tokio::test]
async fn unusable_urls_are_reported_with_their_variable() {
    let queue = std::env::var("REDIS_URL").unwrap();
    let postgres = PostgresServer::start(&postgres_bin(), &[]).unwrap();
    let (empty, database) = (postgres.database_url("template1"), postgres.url());
    let urls = ServerUrls { queue: queue.clone(), database: database.clone() };
    assert!(command(&urls).arg("migrate").status().await.unwrap().success());
    for (queue, database, variable, remedy) in [
        ("http://s3cret@host".to_owned(), database.clone(), "QUEUE_URL", "redis://"),
        (queue.clone(), "mysql://u:s3cret@host/x".to_owned(), "DATABASE_URL", "postgres://"),
        ("redis://:s3cret@127.0.0.1:1".to_owned(), database, "QUEUE_URL", "cannot be reached"),
        (
            queue.clone(),
            "postgres://u:s3cret@127.0.0.1:1/x".to_owned(),
            "DATABASE_URL",
            "start it, or correct",
        ),
        (queue, empty, "DATABASE_URL", "`chargegate migrate`"),
    ] {
        let line = refused(&ServerUrls { queue, database }, &WORKER).await;
        assert!(line.contains(variable) && line.contains(remedy), "{variable}, {remedy}: {line}");
    }
}

#[tokio::test]
async fn one_engine_on_a_server_requires_the_other_on_a_server() {
    let data = tempdir().unwrap();
    let mut up = crate::app::program();
    up.env_clear().env("QUEUE_URL", std::env::var("REDIS_URL").unwrap());
    up.env("CHARGEGATE_EDGE_COMPONENT", std::env::var_os("CHARGEGATE_EDGE_COMPONENT").unwrap());
    up.args(["up", "--acl-url", "http://127.0.0.1:9", "--data-dir"]).arg(data.path());
    let output = up.output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("QUEUE_URL and DATABASE_URL") && errors.contains("go together"), "{errors}");
}

#[tokio::test]
async fn an_edge_refuses_a_queue_that_would_lose_messages() {
    let evicting = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let redis = RedisServer::start(&redis_server(), &evicting).unwrap();
    let urls = ServerUrls { queue: redis.url(), database: String::new() };
    let component = std::env::var("CHARGEGATE_EDGE_COMPONENT").unwrap();
    let data = tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let args = ["edge", "--edge-component", &component, "--data-dir", data, "--listen", "127.0.0.1:0"];
    let line = refused(&urls, &[&args[..], &["--ops-listen", "127.0.0.1:0"]].concat()).await;
    assert!(line.contains("QUEUE_URL") && line.contains("noeviction"), "{line}");
}
