//! Attempts, from their claim to their report.

mod caps;
mod isolation;

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{GiveUpReason, RetryPolicy, UnixMillis};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::tests::{FakeResolver, LONG, SHORT, client_with, job};
use super::{Delivery, DeliverySettings, Dispatcher, shorten_delays};
use chargegate_storage::store::{AfterAttempt, AttemptReport, AttemptResult, CallbackJob};
use chargegate_storage::testing::{
    CallbackState, EventJournal, HostileServer, MemoryStore, effects, eventually, read_request,
    store_unavailable,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running delivery over a store in memory.
struct DeliveryHarness {
    store: Arc<MemoryStore>,
    delivery: Delivery,
    dispatcher: Dispatcher,
}

impl DeliveryHarness {
    fn start(
        resolver: &Arc<FakeResolver>,
        settings: &DeliverySettings,
        deadline: Duration,
        prepare: impl FnOnce(&MemoryStore),
    ) -> Self {
        let store = Arc::new(MemoryStore::new(EventJournal::default()));
        prepare(&store);
        let client = client_with("127.0.0.0/8", resolver, deadline);
        let (delivery, dispatcher) = Delivery::start(
            client,
            store.clone(),
            settings,
            effects(),
            CancellationToken::new(),
            &CancellationToken::new(),
        );
        Self { store, delivery, dispatcher }
    }
}

/// Returns settings that poll often and retry after some milliseconds.
fn fast_settings() -> DeliverySettings {
    let retry = RetryPolicy { base: Duration::from_millis(20), ..RetryPolicy::default() };
    DeliverySettings { poll_interval: Duration::from_millis(2), retry, ..DeliverySettings::default() }
}

fn job_for(peer: &HostileServer) -> CallbackJob {
    job(1, &format!("http://127.0.0.1:{}/", peer.port()))
}

fn start(prepare: impl FnOnce(&MemoryStore)) -> DeliveryHarness {
    DeliveryHarness::start(&Arc::default(), &fast_settings(), LONG, prepare)
}

#[tokio::test]
async fn a_callback_left_by_a_crash_is_delivered() {
    let peer = HostileServer::answering(OK).await;
    let job = job_for(&peer);
    let harness = start(|store| store.add_due(job.clone()));
    eventually(PATIENCE, || harness.store.callback(job.request_id) == Some(CallbackState::Delivered)).await;
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_callback_is_retried_when_it_is_due_and_not_before() {
    let peer = HostileServer::start(async |mut stream, n| {
        let _ = read_request(&mut stream).await;
        let answer =
            if n < 3 { "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" } else { OK };
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let job = job_for(&peer);
    let harness = start(|store| store.add_due(job.clone()));
    eventually(PATIENCE, || harness.store.callback(job.request_id) == Some(CallbackState::Delivered)).await;

    let reports: Vec<_> = harness.store.reports().into_iter().flatten().collect();
    let attempts: Vec<_> = reports.iter().map(|report| (report.attempt.get(), report.result)).collect();
    let refused = AttemptResult::Answered(500);
    assert_eq!(attempts, [(1, refused), (2, refused), (3, refused), (4, AttemptResult::Answered(200))]);
    for pair in reports.windows(2) {
        let AfterAttempt::Retry { after } = pair[0].next else { panic!("{:?}", pair[0]) };
        assert!(pair[1].started_at >= pair[0].started_at.plus(pair[0].took).plus(after));
    }
}

#[tokio::test]
async fn the_answer_determines_the_state_of_the_callback() {
    let dead = |reason| CallbackState::Dead(reason);
    for (answer, expected) in
        [("204 No Content", CallbackState::Delivered), ("410 Gone", dead(GiveUpReason::Gone))]
    {
        let peer = HostileServer::answering(format!(
            "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ))
        .await;
        let job = job_for(&peer);
        let harness = start(|store| store.add_due(job.clone()));
        eventually(PATIENCE, || harness.store.callback(job.request_id) == Some(expected)).await;
    }
    let blocked = job(1, "http://[::1]:9999/");
    let harness = start(|store| store.add_due(blocked.clone()));
    eventually(PATIENCE, || harness.store.callback(blocked.request_id) == Some(dead(GiveUpReason::Blocked)))
        .await;
}

#[tokio::test]
async fn a_failed_attempt_is_retried_later() {
    let hanging = HostileServer::hanging().await;
    let redirecting =
        HostileServer::answering("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\n\r\n").await;
    let asking_for_ages =
        HostileServer::answering("HTTP/1.1 503 Down\r\nretry-after: 99999999999999999999999999\r\n\r\n")
            .await;
    let ports = [hanging.port(), redirecting.port(), asking_for_ages.port(), HostileServer::refusing().await];
    for port in ports {
        let job = job(1, &format!("http://127.0.0.1:{port}/"));
        let settings = DeliverySettings {
            retry: RetryPolicy { base: Duration::from_hours(1), ..fast_settings().retry },
            ..fast_settings()
        };
        let harness =
            DeliveryHarness::start(&Arc::default(), &settings, SHORT, |store| store.add_due(job.clone()));
        eventually(PATIENCE, || harness.store.reports().len() == 1).await;
        let Some(CallbackState::Due(at)) = harness.store.callback(job.request_id) else {
            panic!("{:?}", harness.store.reports())
        };
        let delay = at.saturating_duration_since(Instant::now());
        assert!(!delay.is_zero() && delay <= Duration::from_hours(1), "{delay:?}");
    }
}

#[tokio::test]
async fn a_failed_report_is_retried_without_a_second_callback() {
    let peer = HostileServer::answering(OK).await;
    let job = job_for(&peer);
    let harness = start(|store| {
        store.fail_reports([store_unavailable(), store_unavailable()]);
        store.add_due(job.clone());
    });
    eventually(PATIENCE, || harness.store.callback(job.request_id) == Some(CallbackState::Delivered)).await;
    assert_eq!((peer.connections(), harness.store.reports().len()), (1, 1));
}

#[tokio::test]
async fn reports_are_written_in_batches() {
    let peer = HostileServer::answering(OK).await;
    let url = format!("http://127.0.0.1:{}/", peer.port());
    let harness = start(|store| {
        store.hang();
        for n in 0..40 {
            store.add_due(job(n, &url));
        }
    });
    eventually(PATIENCE, || peer.connections() == 40).await;
    eventually(PATIENCE, || harness.dispatcher.shared.tasks.is_empty()).await;
    harness.store.resume();
    eventually(PATIENCE, || harness.store.count(|state| state == CallbackState::Delivered) == 40).await;
    assert!(
        harness.store.reports().len() <= 2,
        "the reports of the time in which the first batch hung are one batch"
    );
}

#[tokio::test]
async fn a_stop_waits_for_attempts_in_flight_and_their_reports() {
    let answer = Arc::new(Notify::new());
    let wait = Arc::clone(&answer);
    let peer = HostileServer::start(move |mut stream, _| {
        let wait = Arc::clone(&wait);
        async move {
            let _ = read_request(&mut stream).await;
            wait.notified().await;
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    })
    .await;
    let (begun, unbegun) = (job_for(&peer), job(2, "http://127.0.0.1:9/"));
    let DeliveryHarness { store, delivery, dispatcher } = start(|store| store.add_due(begun.clone()));
    eventually(PATIENCE, || peer.connections() == 1).await;

    let stopping = tokio::spawn(delivery.stop());
    tokio::task::yield_now().await;
    assert_eq!(dispatcher.start(vec![unbegun]).len(), 1, "no attempt begins after the stop");
    drop(dispatcher);
    store.add_due(job(3, "http://127.0.0.1:9/"));
    assert!(!stopping.is_finished());
    answer.notify_one();
    stopping.await.unwrap();
    assert_eq!(store.callback(begun.request_id), Some(CallbackState::Delivered));
    assert_eq!(store.reports().len(), 1, "nothing was claimed after the stop");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_waits_for_the_store_does_not_postpone_the_retry() {
    let job = job(1, "http://127.0.0.1:9/");
    let report = |next| AttemptReport {
        request_id: job.request_id,
        attempt: job.attempt,
        started_at: UnixMillis(0),
        took: Duration::ZERO,
        result: AttemptResult::TimedOut,
        next,
    };
    let after = |seconds| AfterAttempt::Retry { after: Duration::from_secs(seconds) };
    let mut reports = [report(after(30)), report(after(5)), report(AfterAttempt::Delivered)];
    let mut measured_at = [Instant::now(); 3];
    for left in [after(20), after(10)] {
        tokio::time::advance(Duration::from_secs(10)).await;
        shorten_delays(&mut reports, &mut measured_at);
        assert_eq!(reports.each_ref().map(|report| report.next), [left, after(0), AfterAttempt::Delivered]);
    }
}
