//! Limits of concurrent attempts, in all and for one host.

use std::sync::Arc;
use std::time::Duration;

use super::super::{DeliverySettings, release};
use super::{FakeResolver, LONG, OK, PATIENCE, Post, job};
use chargegate_storage::testing::{CallbackState, HostileServer, eventually};

fn settings(concurrency: usize, per_host: usize, poll: Duration) -> DeliverySettings {
    DeliverySettings { concurrency, per_host, poll_interval: poll, ..DeliverySettings::default() }
}

fn resolver() -> Arc<FakeResolver> {
    let resolver = FakeResolver::default().with("slow.example", &[&["127.0.0.1"]]);
    Arc::new(resolver.with("fast.example", &[&["127.0.0.1"]]))
}

fn delivered(state: CallbackState) -> bool {
    state == CallbackState::Delivered
}

#[tokio::test]
async fn a_hanging_host_takes_its_share_and_no_other_host_waits() {
    let (slow, fast) = (HostileServer::hanging().await, HostileServer::answering(OK).await);
    let post = Post::start(&resolver(), &settings(100, 3, Duration::from_millis(5)), LONG, |store| {
        for n in 0..40 {
            let (host, port) = if n < 20 { ("slow", slow.port()) } else { ("fast", fast.port()) };
            store.leave(job(n, &format!("http://{host}.example:{port}/")));
        }
    });
    eventually(PATIENCE, || post.store.count(delivered) == 20).await;
    eventually(PATIENCE, || slow.connections() == 3).await;
    assert_eq!(post.store.released(), 0, "no more are claimed than there are places for");
    // Callbacks of the slow host that were not claimed so far are not claimed later either.
    assert_eq!(post.store.count(|state| state == CallbackState::Leased), 3);
    assert_eq!(post.store.count(|state| matches!(state, CallbackState::Due(_))), 17);
    assert_eq!(slow.connections(), 3);
}

#[tokio::test]
async fn what_the_pipeline_hands_over_keeps_to_the_share_of_its_host() {
    let (slow, fast) = (HostileServer::hanging().await, HostileServer::answering(OK).await);
    let post = Post::start(&resolver(), &settings(100, 3, PATIENCE), LONG, |_| ());
    let url = |host: &str, peer: &HostileServer| format!("http://{host}.example:{}/", peer.port());
    let left = post.dispatcher.start((0..10).map(|n| job(n, &url("slow", &slow))).collect());
    assert_eq!(left.len(), 7);
    let left = post.dispatcher.start((10..13).map(|n| job(n, &url("fast", &fast))).collect());
    assert_eq!(left.len(), 0);
    eventually(PATIENCE, || fast.connections() == 3).await;
}

#[tokio::test]
async fn attempts_under_way_keep_to_the_limit_in_all() {
    let slow = HostileServer::hanging().await;
    let mut names = FakeResolver::default();
    for n in 0..10 {
        names = names.with(&format!("host{n}.example"), &[&["127.0.0.1"]]);
    }
    let post = Post::start(&Arc::new(names), &settings(4, 3, PATIENCE), LONG, |_| ());
    let jobs = (0..10).map(|n| job(n, &format!("http://host{n}.example:{}/", slow.port())));
    assert_eq!(post.dispatcher.start(jobs.collect()).len(), 6);
    eventually(PATIENCE, || slow.connections() == 4).await;
}

#[tokio::test]
async fn what_found_no_place_is_claimed_as_soon_as_one_is_free() {
    let fast = HostileServer::answering(OK).await;
    // The next poll is far away: only freed places can set the rest going.
    let post = Post::start(&resolver(), &settings(2, 2, Duration::from_hours(1)), LONG, |_| ());
    let jobs: Vec<_> = (0..50).map(|n| job(n, &format!("http://fast.example:{}/", fast.port()))).collect();
    // The first tick of the poll must be over.
    eventually(PATIENCE, || post.store.claims() == 1).await;
    for job in &jobs {
        post.store.leave_leased(job.clone());
    }
    let left = post.dispatcher.start(jobs);
    assert_eq!(left.len(), 48);
    release(post.store.as_ref(), left).await;
    eventually(PATIENCE, || post.store.count(delivered) == 50).await;
    assert_eq!(fast.connections(), 50);
}
