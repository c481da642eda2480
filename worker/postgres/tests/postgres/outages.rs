//! Failures of the server: no confirmed write is lost, and no worker needs a restart.

use chargegate_storage::reconcile::CountedStore as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chargegate_postgres::{PostgresStore, migrate};
use chargegate_servers::{PostgresServer, postgres_bin, postgres_next_bin};
use chargegate_storage::store::{RecordVerdict, Store as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{PATIENCE, open, outcomes, unavailable, until_ok};
use crate::database::{connect, execute, parsed};
use chargegate_storage::conformance::stores::{START, delivered, first_attempt};

async fn server(bin: &std::path::Path) -> (PostgresServer, PostgresStore) {
    let server = PostgresServer::start(bin, &[]).unwrap();
    migrate(&parsed(&server.url())).await.unwrap();
    let engine = open(&server.url()).await;
    (server, engine)
}

/// Sends a signal to all processes of a server.
fn signal_all(server: &PostgresServer, name: &str) {
    let id = server.id().to_string();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let done =
        Command::new("kill").args(["-s", name, &id]).args(children.split_whitespace()).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn a_restarted_server_is_used_again() {
    let (mut server, engine) = server(&postgres_bin()).await;
    engine.record(&outcomes(0, 10)).await.unwrap();
    server.stop().unwrap();
    unavailable(&engine.record(&outcomes(10, 10)).await);
    unavailable(&engine.backlog().await);
    server.restart().unwrap();
    let again = outcomes(10, 10);
    let (recorded, _) = until_ok(|| engine.record(&again)).await;
    assert_eq!(recorded, [RecordVerdict::Decided; 10]);
    assert_eq!(engine.inspector().totals(&[], &[]).await.unwrap().decided, 20);
}

#[tokio::test]
async fn a_server_killed_under_load_loses_nothing_confirmed() {
    const BATCH: u32 = 20;
    for bin in [postgres_bin(), postgres_next_bin()] {
        let (mut server, engine) = server(&bin).await;
        let stop = Arc::new(AtomicBool::new(false));
        let working: Vec<_> = (0..3)
            .map(|task| {
                let (engine, stop) = (engine.clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let (mut batches, mut failures) = (0, 0);
                    while !stop.load(Ordering::Relaxed) {
                        let from = task * 1_000_000 + batches * BATCH;
                        let batch = outcomes(from, BATCH);
                        let (recorded, failed) = until_ok(|| engine.record(&batch)).await;
                        failures += failed;
                        batches += 1;
                        // After a commit whose response was lost, the repetition finds its own rows.
                        let first = batch.into_iter().zip(recorded);
                        let reports: Vec<_> = first
                            .filter(|(_, verdict)| *verdict == RecordVerdict::Decided)
                            .map(|(outcome, _)| {
                                delivered(&first_attempt(outcome), chargegate_core::UnixMillis(START))
                            })
                            .collect();
                        failures += until_ok(|| engine.report(&reports)).await.1;
                    }
                    (batches, failures)
                })
            })
            .collect();
        for _ in 0..3 {
            let before = progress(&engine).await;
            while progress(&engine).await < before + 200 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            server.kill().unwrap();
            server.restart().unwrap();
        }
        let before = progress(&engine).await;
        while progress(&engine).await < before + 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.store(true, Ordering::Relaxed);
        let (mut batches, mut failures) = (0, 0);
        for task in working {
            let (of_task, failed) = task.await.unwrap();
            batches += of_task;
            failures += failed;
        }
        assert!(failures > 0, "no kill was noticed");
        let books = engine.inspector().totals(&[], &[]).await.unwrap();
        assert_eq!(books.decided, u64::from(batches * BATCH));
        assert_eq!(books.duplicates, 0);
        assert_eq!(books.delivered + books.in_flight, books.decided);
        assert!(books.decisions_without_callback.is_empty() && books.callbacks_without_decision.is_empty());
    }
}

/// Returns the number of decisions, as soon as the server is available.
async fn progress(engine: &PostgresStore) -> u64 {
    let inspector = engine.inspector();
    until_ok(|| inspector.totals(&[], &[])).await.0.decided
}

#[tokio::test]
async fn a_frozen_server_fails_operations_at_their_deadline() {
    let (server, engine) = server(&postgres_bin()).await;
    engine.record(&outcomes(0, 10)).await.unwrap();
    signal_all(&server, "STOP");
    // One has a session, the other needs a new one. Without the deadline of an operation both would wait for `CONT`.
    let batch = outcomes(10, 10);
    let both = async { tokio::join!(engine.record(&batch), engine.backlog()) };
    let (record, backlog) = timeout(Duration::from_mins(2), both).await.expect("an operation never ends");
    unavailable(&record);
    unavailable(&backlog);
    signal_all(&server, "CONT");
    let (recorded, failures) = until_ok(|| engine.record(&batch)).await;
    assert_eq!(failures, 0);
    assert_eq!(recorded.len(), 10);
    // The statement without a response may have been executed, once.
    let books = engine.inspector().totals(&[], &[]).await.unwrap();
    assert_eq!((books.decided, books.duplicates), (20, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_that_hang_cause_no_failure() {
    const IDLE: &str =
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'chargegate' AND state = 'idle'";
    let (server, engine) = server(&postgres_bin()).await;
    let mut owner = connect(&server.url()).await;
    // Each uses a session while the table is locked.
    execute(&mut owner, "BEGIN; LOCK TABLE chargegate.decision IN ACCESS EXCLUSIVE MODE").await;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let engine = engine.clone();
        tasks.spawn(async move { engine.record(&outcomes(100 * n, 5)).await.unwrap() });
    }
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chargegate' AND wait_event_type = 'Lock'";
    let start = Instant::now();
    while sqlx::query_scalar::<_, i64>(busy).fetch_one(&mut owner).await.unwrap() < 8 {
        assert!(start.elapsed() < PATIENCE);
        execute(&mut owner, "SELECT pg_stat_clear_snapshot()").await;
    }
    execute(&mut owner, "COMMIT").await;
    tasks.join_all().await;
    // Waits until idle sessions are tested before their use.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5_200) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let silent: Vec<i32> = sqlx::query_scalar(IDLE).fetch_all(&mut owner).await.unwrap();
    assert_eq!(silent.len(), 8);
    let signal = |name: &str| {
        let ids = silent.iter().map(ToString::to_string);
        assert!(Command::new("kill").args(["-s", name]).args(ids).status().unwrap().success());
    };
    signal("STOP");
    // Fails if the session is used untested, and also if all eight are tested, which takes longer than an operation may.
    let recorded = engine.record(&outcomes(1_000, 5)).await;
    signal("CONT");
    assert!(recorded.is_ok(), "{recorded:?}");
}
