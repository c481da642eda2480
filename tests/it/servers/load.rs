//! Clients that ask all the while, and remember what they were promised.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::system::TestSystem;
use crate::app::{CallbackReceiver, HttpClient, TOKEN, body, eventually};

const CLIENTS: usize = 6;

/// Clients at work.
pub(super) struct LoadGenerator {
    promised: Arc<LoadRecord>,
    edges: watch::Sender<Option<String>>,
    clients: JoinSet<()>,
}

/// What clients know.
#[derive(Default)]
struct LoadRecord {
    sent: AtomicUsize,
    accepted: Mutex<HashSet<String>>,
    refused: AtomicUsize,
}

impl LoadGenerator {
    /// Starts to ask a system's edge.
    pub(super) fn start(system: &TestSystem) -> Self {
        let promised = Arc::default();
        let (edges, edge) = watch::channel(Some(system.edge.edge.clone()));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(ask(
                system.client.clone(),
                system.receiver.clone(),
                Arc::clone(&promised),
                edge.clone(),
            ));
        }
        Self { promised, edges, clients }
    }

    /// How many requests were accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.promised.accepted.lock().unwrap().len()
    }

    /// How many requests were answered 503 so far.
    pub(super) fn refused(&self) -> usize {
        self.promised.refused.load(Ordering::Relaxed)
    }

    /// Waits until `more` requests were accepted from now on.
    pub(super) async fn wait_for_accepted(&self, more: usize) {
        let enough = self.accepted() + more;
        eventually("requests are accepted", async || (self.accepted() >= enough).then_some(())).await;
    }

    /// Stops asking; every promise must have been kept, or be kept soon, without a contradiction, and nothing may be
    /// left over.
    pub(super) async fn finish(self, system: &TestSystem) {
        let Self { promised, edges, mut clients } = self;
        edges.send_replace(None);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        let accepted = promised.accepted.lock().unwrap().clone();
        eventually("every accepted request is called back", async || {
            let statuses = system.receiver.statuses();
            accepted.iter().all(|path| statuses.contains_key(path)).then_some(())
        })
        .await;
        system.wait_until_settled().await;
        for (path, statuses) in system.receiver.statuses() {
            assert!(statuses.iter().all(|status| *status == statuses[0]), "{path} was told {statuses:?}");
        }
    }
}

/// Asks again and again, each time for a callback of its own, until there is no edge any more.
async fn ask(
    client: HttpClient,
    receiver: CallbackReceiver,
    promised: Arc<LoadRecord>,
    mut edges: watch::CallbackReceiver<Option<String>>,
) {
    loop {
        let Some(edge) = edges.borrow_and_update().clone() else { return };
        let path = format!("/load/{}", promised.sent.fetch_add(1, Ordering::Relaxed));
        let body = body(TOKEN, &receiver.url(&path)).to_string();
        let url = format!("{edge}/v1/charging-sessions");
        let reply = client.send(Method::POST, &url, &body, &[("content-type", "application/json")]).await;
        let reply = reply.expect("an edge always answers");
        if reply.status == 202 {
            promised.accepted.lock().unwrap().insert(path);
        } else {
            assert_eq!(reply.status, 503, "{}", reply.body);
            assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
            promised.refused.fetch_add(1, Ordering::Relaxed);
        }
        // A real client waits as well: the load is to be there all the while, not to fill the machine.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
