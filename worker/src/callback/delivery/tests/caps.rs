//! Limits of concurrent attempts, in total and for one host.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::super::{DeliverySettings, release};
use super::{DeliveryHarness, FakeResolver, LONG, OK, PATIENCE, job};
use chargegate_storage::testing::{CallbackState, HostileServer, eventually};

fn settings(concurrency: usize, per_host: usize, poll: Duration) -> DeliverySettings {
    DeliverySettings { concurrency, per_host, poll_interval: poll, ..DeliverySettings::default() }
}

fn resolver() -> Arc<FakeResolver> {
    let resolver = FakeResolver::default().with("slow.example", &[&["127.0.0.2"]]);
    Arc::new(resolver.with("fast.example", &[&["127.0.0.1"]]))
}

/// A receiver at the address of `slow.example`, which never answers.
async fn hanging() -> HostileServer {
    HostileServer::start_at(([127, 0, 0, 2], 0).into(), async |mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

fn delivered(state: CallbackState) -> bool {
    state == CallbackState::Delivered
}

#[tokio::test]
async fn a_hung_host_uses_only_its_share_and_delays_no_other() {
    let (slow, fast) = (hanging().await, HostileServer::answering(OK).await);
    let harness =
        DeliveryHarness::start(&resolver(), &settings(100, 3, Duration::from_millis(5)), LONG, |store| {
            for n in 0..40 {
                let (host, port) = if n < 20 { ("slow", slow.port()) } else { ("fast", fast.port()) };
                store.add_due(job(n, &format!("http://{host}.example:{port}/")));
            }
        });
    eventually(PATIENCE, || harness.store.count(delivered) == 20).await;
    eventually(PATIENCE, || slow.connections() == 3).await;
    assert_eq!(harness.store.released(), 0, "no more are claimed than there are permits");
    // Callbacks of the slow host that were not claimed so far are not claimed later either.
    assert_eq!(harness.store.count(|state| state == CallbackState::Leased), 3);
    assert_eq!(harness.store.count(|state| matches!(state, CallbackState::Due(_))), 17);
    assert_eq!(slow.connections(), 3);
}

#[tokio::test]
async fn callbacks_from_the_pipeline_respect_the_share_of_their_host() {
    let (slow, fast) = (hanging().await, HostileServer::answering(OK).await);
    let harness = DeliveryHarness::start(&resolver(), &settings(100, 3, PATIENCE), LONG, |_| ());
    let url = |host: &str, peer: &HostileServer| format!("http://{host}.example:{}/", peer.port());
    let left = harness.dispatcher.start((0..10).map(|n| job(n, &url("slow", &slow))).collect());
    assert_eq!(left.len(), 7);
    let left = harness.dispatcher.start((10..13).map(|n| job(n, &url("fast", &fast))).collect());
    assert_eq!(left.len(), 0);
    eventually(PATIENCE, || fast.connections() == 3).await;
}

#[tokio::test]
async fn attempts_in_flight_respect_the_total_limit() {
    let slow = HostileServer::hanging().await;
    let mut resolver = FakeResolver::default();
    for n in 0..10 {
        resolver = resolver.with(&format!("host{n}.example"), &[&["127.0.0.1"]]);
    }
    let harness = DeliveryHarness::start(&Arc::new(resolver), &settings(4, 8, PATIENCE), LONG, |_| ());
    let jobs = (0..10).map(|n| job(n, &format!("http://host{n}.example:{}/", slow.port())));
    assert_eq!(harness.dispatcher.start(jobs.collect()).len(), 0, "look-ups occupy no slots");
    // One of four slots is kept for proven hosts.
    eventually(PATIENCE, || slow.connections() == 3 && harness.store.released() == 7).await;
}

#[tokio::test]
async fn callbacks_without_a_permit_are_claimed_once_one_is_free() {
    let fast = HostileServer::answering(OK).await;
    // The next poll is far away: only freed permits can start the rest.
    let harness = DeliveryHarness::start(&resolver(), &settings(2, 2, Duration::from_hours(1)), LONG, |_| ());
    let jobs: Vec<_> = (0..50).map(|n| job(n, &format!("http://fast.example:{}/", fast.port()))).collect();
    // The first tick of the poll must be over.
    eventually(PATIENCE, || harness.store.claims() == 1).await;
    for job in &jobs {
        harness.store.add_leased(job.clone());
    }
    let left = harness.dispatcher.start(jobs);
    assert_eq!(left.len(), 48);
    release(harness.store.as_ref(), left).await;
    eventually(PATIENCE, || harness.store.count(delivered) == 50).await;
    assert_eq!(fast.connections(), 50);
}
