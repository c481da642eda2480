//! Workers that come, go, die and sleep.

use std::collections::HashSet;
use std::time::Duration;

use super::load::LoadGenerator;
use super::system::TestSystem;
use crate::app::{AuthorizerAnswer, ReceivedCallback, eventually};

#[tokio::test]
async fn workers_that_are_killed_under_load_lose_and_contradict_nothing() {
    let mut system = TestSystem::start(&[]).await;
    system
        .authorizer
        .set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(20), capacity: 64 });
    system.add_worker().await;
    let load = LoadGenerator::start(&system);
    for status in ["allowed", "not_allowed", "invalid", "allowed", "not_allowed"] {
        load.wait_for_accepted(50).await;
        system.workers.remove(0).kill().await;
        // Whoever asks twice about one request is found out.
        system.authorizer.set_answer(AuthorizerAnswer::Status(status));
        system.add_worker().await;
    }
    load.finish(&system).await;
}

#[tokio::test]
async fn what_a_killed_worker_held_is_decided_by_another_before_its_deadline() {
    const IN_FLIGHT: usize = 40;
    let mut system = TestSystem::start(&[]).await;
    system.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..IN_FLIGHT {
        system.ask(&format!("/{n}")).await.request_id();
    }
    eventually("the worker asks", async || (system.authorizer.in_flight() == 32).then_some(())).await;
    system.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    system.workers.remove(0).kill().await;
    system.add_worker().await;
    for n in 0..IN_FLIGHT {
        let callback = system.receiver.wait(&format!("/{n}"), 1).await.remove(0);
        assert_eq!(callback.status(), "allowed", "an answer in time, not a decision for want of one");
    }
    system.wait_until_settled().await;
}

#[tokio::test]
async fn a_worker_that_wakes_up_after_its_messages_were_taken_over_contradicts_nothing() {
    const IN_FLIGHT: usize = 20;
    let mut system = TestSystem::start(&["--acl-timeout", "10s", "--decision-deadline", "1m"]).await;
    system.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..IN_FLIGHT {
        system.ask(&format!("/{n}")).await.request_id();
    }
    eventually("the worker asks", async || (system.authorizer.in_flight() == IN_FLIGHT).then_some(())).await;
    system.workers[0].signal("STOP").await;
    system.authorizer.set_answer(AuthorizerAnswer::Status("not_allowed"));
    system.add_worker().await;
    for n in 0..IN_FLIGHT {
        assert_eq!(system.receiver.wait(&format!("/{n}"), 1).await[0].status(), "not_allowed");
    }
    // It finds its calls without an answer, and must not tell anybody.
    system.workers[0].signal("CONT").await;
    system.wait_until_ready().await;
    let books = system.wait_until_settled().await;
    assert_eq!(books["decided"], IN_FLIGHT, "{books}");
    // A request more, so that the sleeper has certainly gone on with its work.
    system.ask("/after").await.request_id();
    system.receiver.wait("/after", 1).await;
    for n in 0..IN_FLIGHT {
        let told: HashSet<_> =
            system.receiver.received(&format!("/{n}")).iter().map(ReceivedCallback::status).collect();
        assert_eq!(told.len(), 1, "{n}");
    }
}

#[tokio::test]
async fn a_worker_that_is_stopped_hands_back_what_it_had_not_begun() {
    let mut system = TestSystem::start(&["--acl-slots", "1", "--acl-timeout", "5s"]).await;
    system.authorizer.set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_secs(1), capacity: 1 });
    for n in 0..6 {
        system.ask(&format!("/{n}")).await.request_id();
    }
    eventually("the worker asks", async || (system.authorizer.in_flight() == 1).then_some(())).await;
    let mut first = system.workers.remove(0);
    first.interrupt().await;
    assert!(first.ended().await.success(), "{}", first.errors());
    system.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    system.add_worker().await;
    for n in 0..6 {
        assert_eq!(system.receiver.wait(&format!("/{n}"), 1).await[0].status(), "allowed");
    }
    let books = system.wait_until_settled().await;
    assert_eq!(books["decided"], 6, "{books}");
}
