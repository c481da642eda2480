//! Kills of the process at random moments under load: every accepted request is decided once and called back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;

use crate::app::{AuthorizerAnswer, TOKEN, TestApp, body, eventually};

const KILLS: usize = 20;
const CLIENTS: usize = 8;

/// Requests sent and accepted, as seen by the clients.
#[derive(Default)]
struct ChaosLedger {
    sent: usize,
    accepted: HashSet<String>,
}

#[tokio::test]
async fn twenty_kills_under_load_lose_no_request_and_cause_no_contradiction() {
    let seed = std::env::var("CHARGEGATE_SEED").map_or(4711, |seed| seed.parse().unwrap());
    println!("CHARGEGATE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut app = TestApp::spawn(&["--log", "error"]).await;
    app.authorizer.set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(5), capacity: 64 });
    let known = Arc::new(Mutex::new(ChaosLedger::default()));
    let (edge, edges) = watch::channel(Some(app.process.edge.clone()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(load(app.client.clone(), app.receiver.clone(), Arc::clone(&known), edges.clone()))
        })
        .collect();

    for _ in 0..KILLS {
        // The moment of the kill is the test's subject.
        tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
        app.process.kill().await;
        // A different answer from here on reveals a request that is decided twice.
        let status = ["allowed", "not_allowed", "invalid"][random.random_range(0..3)];
        app.authorizer.set_answer(AuthorizerAnswer::Status(status));
        app.restart().await;
        edge.send_replace(Some(app.process.edge.clone()));
    }
    edge.send_replace(None);
    for client in clients {
        client.await.unwrap();
    }

    let (sent, accepted) = {
        let known = known.lock();
        (known.sent, known.accepted.clone())
    };
    println!("{sent} sent, {} accepted, {KILLS} kills", accepted.len());
    assert!(accepted.len() > KILLS, "too little load for a meaningful test");
    eventually("every accepted request is called back", async || {
        let statuses = app.receiver.statuses();
        accepted.iter().all(|path| statuses.contains_key(path)).then_some(())
    })
    .await;
    eventually("nothing is left to do", async || {
        let (balanced, books) = app.command(&["reconcile"]).await;
        assert!(balanced, "{books}");
        (books["waiting"] == 0 && books["in_flight"] == 0).then_some(())
    })
    .await;
    for (path, statuses) in app.receiver.statuses() {
        assert!(
            statuses.iter().all(|status| *status == statuses[0]),
            "contradictory callbacks to {path}: {statuses:?}"
        );
    }

    assert_deleted_message_is_reported(&app).await;
}

/// Sends requests with distinct callback paths until the edge is gone.
async fn load(
    client: crate::app::HttpClient,
    receiver: crate::app::CallbackReceiver,
    known: Arc<Mutex<ChaosLedger>>,
    mut edges: watch::Receiver<Option<String>>,
) {
    loop {
        let Some(edge) = edges.borrow_and_update().clone() else { return };
        let path = {
            let mut known = known.lock();
            known.sent += 1;
            format!("/{}", known.sent)
        };
        let body = body(TOKEN, &receiver.url(&path)).to_string();
        let url = format!("{edge}/v1/charging-sessions");
        let reply = client.send(Method::POST, &url, &body, &[("content-type", "application/json")]).await;
        match reply {
            Some(reply) if reply.status == 202 => {
                known.lock().accepted.insert(path);
            }
            Some(reply) => panic!("{}: {}", reply.status, reply.body),
            // The connection was cut, so the outcome is unknown. The next edge starts soon.
            None => drop(edges.changed().await),
        }
    }
}

/// Asserts that `reconcile` names a queue row that was deleted by hand.
async fn assert_deleted_message_is_reported(app: &TestApp) {
    app.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..40 {
        app.ask(TOKEN, &format!("/deleted/{n}")).await.request_id();
    }
    let file = app.data.path().join("chargegate.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut database = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let gone: i64 =
        sqlx::query_scalar("DELETE FROM queue WHERE seq = (SELECT max(seq) FROM queue) RETURNING seq")
            .fetch_one(&mut database)
            .await
            .unwrap();
    let (balanced, books) = app.command(&["reconcile"]).await;
    assert!(!balanced, "{books}");
    assert!(books["missing"].to_string().contains(&gone.to_string()), "{books}");
}
