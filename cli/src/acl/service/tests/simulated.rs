//! The simulated behaviour.

use std::num::NonZeroUsize;

use http::header::RETRY_AFTER;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::acl::delay::AclDelay;
use crate::acl::service::simulator::HANG_TIME;
use crate::acl::simulation::CallShare;

const DELAY: Duration = Duration::from_millis(100);

fn simulation(capacity: usize) -> AclSimulation {
    AclSimulation::new(AclDelay::Fixed(DELAY), NonZeroUsize::new(capacity))
}

/// Sends `count` calls at the same time and returns their responses in the order of their ends.
async fn ask_at_once(router: &Router, count: usize) -> Vec<(StatusCode, HeaderMap)> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let mut router = router.clone();
        let request = request(Method::POST, "/v1/authorizations", "application/json", QUERY);
        calls.spawn(async move {
            let (parts, _) = router.call(request).await.unwrap().into_parts();
            (parts.status, parts.headers)
        });
    }
    let mut responses = Vec::new();
    while let Some(response) = calls.join_next().await {
        responses.push(response.unwrap());
    }
    responses
}

#[tokio::test(start_paused = true)]
async fn without_a_capacity_delays_run_concurrently() {
    let begun = Instant::now();
    ask_at_once(&router(acl(simulation(0))), 3).await;
    assert_eq!(begun.elapsed(), DELAY);
}

#[tokio::test(start_paused = true)]
async fn a_capacity_makes_further_calls_wait() {
    let acl = acl(simulation(1));
    let stats = Arc::clone(&acl.simulator.stats);
    let begun = Instant::now();
    ask_at_once(&router(acl), 3).await;
    assert_eq!(begun.elapsed(), DELAY * 3);
    let expected = AclCallCounts { calls: 3, answered: 3, max_in_flight: 3, ..AclCallCounts::default() };
    assert_eq!(stats.totals(), expected);
}

#[tokio::test(start_paused = true)]
async fn contention_slows_calls_down_by_the_queue_at_their_start() {
    let acl = acl(AclSimulation { contention: true, ..simulation(2) });
    let begun = Instant::now();
    ask_at_once(&router(acl), 4).await;
    // Two calls wait when the first two start, so those take twice the time; the last two start without a queue.
    assert_eq!(begun.elapsed(), DELAY * 2 + DELAY);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_hung_up_stays_in_flight_and_keeps_its_place() {
    let acl = acl(simulation(1));
    let stats = Arc::clone(&acl.simulator.stats);
    let router = router(acl);
    let begun = Instant::now();
    let (first, second) = tokio::join!(timeout(DELAY / 4, ask(&router)), timeout(DELAY / 2, ask(&router)));
    assert!(first.is_err() && second.is_err());
    assert_eq!(stats.totals().in_flight, 2, "one is worked on, the other waits");
    ask(&router).await;
    assert_eq!(begun.elapsed(), DELAY * 3);
    let expected =
        AclCallCounts { calls: 3, answered: 1, unanswered: 2, max_in_flight: 3, ..AclCallCounts::default() };
    assert_eq!(stats.totals(), expected);
}

#[tokio::test(start_paused = true)]
async fn failing_calls_are_answered_at_once_without_a_slot() {
    let fail_rate = CallShare(1.0);
    for (retry_after, expected) in
        [(None, StatusCode::INTERNAL_SERVER_ERROR), (Some(2), StatusCode::TOO_MANY_REQUESTS)]
    {
        let router = router(acl(AclSimulation { fail_rate, retry_after, ..simulation(1) }));
        let begun = Instant::now();
        let responses = ask_at_once(&router, 2).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for (status, headers) in responses {
            assert_eq!(status, expected);
            let found = headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(found, retry_after.map(|seconds| seconds.to_string()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_retry_after_as_many_calls_wait_as_are_worked_on() {
    let router = router(acl(AclSimulation { retry_after: Some(3), ..simulation(2) }));
    let responses = ask_at_once(&router, 6).await;
    let (refused, answered) = responses.split_at(2);
    for (status, headers) in refused {
        assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(headers.get(RETRY_AFTER).unwrap(), "3");
    }
    assert!(answered.iter().all(|(status, _)| *status == StatusCode::OK), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_bounded() {
    let mut acl = acl(simulation(1));
    acl.simulator.max_in_flight = 3;
    let responses = ask_at_once(&router(acl), 5).await;
    let (refused, answered) = responses.split_at(2);
    assert!(refused.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE), "{refused:?}");
    assert!(answered.iter().all(|(status, _)| *status == StatusCode::OK), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn shares_of_the_calls_fail_and_hang() {
    let acl = acl(AclSimulation { fail_rate: CallShare(0.2), hang_rate: CallShare(0.3), ..simulation(0) });
    let stats = Arc::clone(&acl.simulator.stats);
    ask_at_once(&router(acl), 1_000).await;
    let AclCallCounts { answered, failed, unanswered, .. } = stats.totals();
    let near = |found: u64, expected: u64| found.abs_diff(expected) < 50;
    assert!(
        near(answered, 500) && near(failed, 200) && near(unanswered, 300),
        "{answered} {failed} {unanswered}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_keeps_its_slot_and_its_connection_is_cut() {
    let acl = acl(AclSimulation { hang_rate: CallShare(1.0), ..simulation(1) });
    let stats = Arc::clone(&acl.simulator.stats);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, acl, shutdown.clone()));
    let begun = Instant::now();
    let exchange = async || {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let head = "POST /v1/authorizations HTTP/1.1\r\nhost: acl\r\ncontent-type: application/json\r\n";
        let request = format!("{head}content-length: {}\r\n\r\n{QUERY}", QUERY.len());
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        let _ = connection.read_to_string(&mut response).await;
        response
    };
    let responses = tokio::join!(exchange(), exchange());
    assert_eq!(responses, (String::new(), String::new()));
    assert!(begun.elapsed() >= HANG_TIME * 2, "one after the other");
    let AclCallCounts { calls, in_flight, unanswered, .. } = stats.totals();
    assert_eq!((calls, in_flight, unanswered), (2, 0, 2));
    shutdown.cancel();
    server.await.unwrap().unwrap();
}
