//! Continuous load that records which requests were accepted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::system::TestSystem;
use crate::app::{CallbackReceiver, HttpClient, TOKEN, body, eventually};

const CLIENTS: usize = 6;

/// Clients that send requests continuously.
pub(super) struct LoadGenerator {
    record: Arc<LoadRecord>,
    edges: watch::Sender<Option<String>>,
    clients: JoinSet<()>,
}

/// Requests sent, accepted and refused so far.
#[derive(Default)]
struct LoadRecord {
    sent: AtomicUsize,
    accepted: Mutex<HashSet<String>>,
    refused: AtomicUsize,
}

impl LoadGenerator {
    /// Starts clients on a system's edge.
    pub(super) fn start(system: &TestSystem) -> Self {
        let record = Arc::default();
        let (edges, edge) = watch::channel(Some(system.edge.edge.clone()));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(ask(
                system.client.clone(),
                system.receiver.clone(),
                Arc::clone(&record),
                edge.clone(),
            ));
        }
        Self { record, edges, clients }
    }

    /// Returns the number of accepted requests so far.
    pub(super) fn accepted(&self) -> usize {
        self.record.accepted.lock().len()
    }

    /// Returns the number of requests answered 503 so far.
    pub(super) fn refused(&self) -> usize {
        self.record.refused.load(Ordering::Relaxed)
    }

    /// Waits until `more` additional requests are accepted.
    pub(super) async fn wait_for_accepted(&self, more: usize) {
        let enough = self.accepted() + more;
        eventually("requests are accepted", async || (self.accepted() >= enough).then_some(())).await;
    }

    /// Stops the clients, then waits until every accepted request is called back without contradictions and no message
    /// is left.
    pub(super) async fn finish(self, system: &TestSystem) {
        let Self { record, edges, mut clients } = self;
        edges.send_replace(None);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        let accepted = record.accepted.lock().clone();
        eventually("every accepted request is called back", async || {
            let statuses = system.receiver.statuses();
            accepted.iter().all(|path| statuses.contains_key(path)).then_some(())
        })
        .await;
        system.wait_until_settled().await;
        for (path, statuses) in system.receiver.statuses() {
            assert!(
                statuses.iter().all(|status| *status == statuses[0]),
                "contradictory callbacks to {path}: {statuses:?}"
            );
        }
    }
}

/// Sends requests with distinct callback paths until the edge is gone.
async fn ask(
    client: HttpClient,
    receiver: CallbackReceiver,
    record: Arc<LoadRecord>,
    mut edges: watch::Receiver<Option<String>>,
) {
    loop {
        let Some(edge) = edges.borrow_and_update().clone() else { return };
        let path = format!("/load/{}", record.sent.fetch_add(1, Ordering::Relaxed));
        let body = body(TOKEN, &receiver.url(&path)).to_string();
        let url = format!("{edge}/v1/charging-sessions");
        let reply = client.send(Method::POST, &url, &body, &[("content-type", "application/json")]).await;
        let reply = reply.expect("an edge always answers");
        if reply.status == 202 {
            record.accepted.lock().insert(path);
        } else {
            assert_eq!(reply.status, 503, "{}", reply.body);
            assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
            record.refused.fetch_add(1, Ordering::Relaxed);
        }
        // A pause, since the load must be continuous but not saturate the machine.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
