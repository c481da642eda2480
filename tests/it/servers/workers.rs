//! Workers that are added, stopped, killed or suspended.

use std::collections::HashSet;
use std::time::Duration;

use super::load::LoadGenerator;
use super::system::TestSystem;
use crate::app::{AuthorizerAnswer, CallbackRecord, eventually};

#[tokio::test]
async fn workers_killed_under_load_cause_no_loss_and_no_contradiction() {
    let mut system = TestSystem::start(&[]).await;
    system
        .authorizer
        .set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(20), capacity: 64 });
    system.add_worker().await;
    let load = LoadGenerator::start(&system);
    for status in ["allowed", "not_allowed", "invalid", "allowed", "not_allowed"] {
        load.wait_for_accepted(50).await;
        system.workers.remove(0).kill().await;
        // A different answer reveals a request that is decided twice.
        system.authorizer.set_answer(AuthorizerAnswer::Status(status));
        system.add_worker().await;
    }
    load.finish(&system).await;
}

#[tokio::test]
async fn messages_of_a_killed_worker_are_decided_by_another_before_their_deadline() {
    const IN_FLIGHT: usize = 40;
    let mut system = TestSystem::start(&[]).await;
    system.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..IN_FLIGHT {
        system.ask(&format!("/{n}")).await.request_id();
    }
    eventually("the worker calls the service", async || (system.authorizer.in_flight() == 32).then_some(()))
        .await;
    system.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    system.workers.remove(0).kill().await;
    system.add_worker().await;
    for n in 0..IN_FLIGHT {
        let callback = system.receiver.wait(&format!("/{n}"), 1).await.remove(0);
        assert_eq!(callback.status(), "allowed", "decided by an answer, not by the deadline");
    }
    system.wait_until_settled().await;
}

#[tokio::test]
async fn a_worker_that_resumes_after_its_messages_were_reclaimed_contradicts_nothing() {
    const IN_FLIGHT: usize = 20;
    let mut system = TestSystem::start(&["--acl-timeout", "10s", "--decision-deadline", "1m"]).await;
    system.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..IN_FLIGHT {
        system.ask(&format!("/{n}")).await.request_id();
    }
    eventually("the worker calls the service", async || {
        (system.authorizer.in_flight() == IN_FLIGHT).then_some(())
    })
    .await;
    system.workers[0].signal("STOP").await;
    system.authorizer.set_answer(AuthorizerAnswer::Status("not_allowed"));
    system.add_worker().await;
    for n in 0..IN_FLIGHT {
        assert_eq!(system.receiver.wait(&format!("/{n}"), 1).await[0].status(), "not_allowed");
    }
    // Its calls end without an answer, and it must not call back.
    system.workers[0].signal("CONT").await;
    system.wait_until_ready().await;
    let books = system.wait_until_settled().await;
    assert_eq!(books["decided"], IN_FLIGHT, "{books}");
    // One more request, so that the resumed worker has certainly continued.
    system.ask("/after").await.request_id();
    system.receiver.wait("/after", 1).await;
    for n in 0..IN_FLIGHT {
        let statuses: HashSet<_> =
            system.receiver.received(&format!("/{n}")).iter().map(CallbackRecord::status).collect();
        assert_eq!(statuses.len(), 1, "{n}");
    }
}

#[tokio::test]
async fn a_stopped_worker_releases_messages_that_it_had_not_started() {
    let mut system =
        TestSystem::start(&["--acl-slots", "1", "--acl-timeout", "10s", "--decision-deadline", "60s"]).await;
    system.authorizer.set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_secs(1), capacity: 1 });
    for n in 0..6 {
        system.ask(&format!("/{n}")).await.request_id();
    }
    eventually("the worker calls the service", async || (system.authorizer.in_flight() == 1).then_some(()))
        .await;
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

#[tokio::test]
async fn a_rolling_restart_with_a_surge_never_exceeds_the_slots_of_the_fleet() {
    const SLOTS: usize = 8;
    let mut system = TestSystem::start(&["--acl-slots", "8"]).await;
    system
        .authorizer
        .set_answer(AuthorizerAnswer::Delayed { delay: Duration::from_millis(200), capacity: 10_000 });
    let load = LoadGenerator::start(&system);
    eventually("every slot is used", async || (system.authorizer.in_flight() == SLOTS).then_some(())).await;
    for step in 0..3 {
        // The surge: the next worker runs before the last one ends.
        system.add_worker().await;
        load.wait_for_accepted(100).await;
        let mut last = system.workers.remove(0);
        if step == 1 {
            last.kill().await;
        } else {
            last.interrupt().await;
            assert!(last.ended().await.success(), "{}", last.errors());
        }
    }
    eventually("the last worker has the whole budget", async || {
        (system.metric(0, "chargegate_acl_share").await >= 8.0).then_some(())
    })
    .await;
    assert_eq!(system.authorizer.max_in_flight(), SLOTS);
    load.finish(&system).await;
}
