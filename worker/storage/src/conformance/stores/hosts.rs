//! Receiver hosts: their list, and pauses.

use std::time::Duration;

use super::operators::audit;
use super::*;
use crate::store::{AfterAttempt, AttemptResult, RecordVerdict, UnavailableReceiver};

async fn pause(fixture: &StoreFixture, host: &str) -> bool {
    fixture.operate.pause_host(host, &audit("hosts pause")).await.unwrap()
}

async fn resume(fixture: &StoreFixture, host: &str) -> bool {
    fixture.operate.resume_host(host, &audit("hosts resume")).await.unwrap()
}

pub(super) async fn callbacks_of_a_paused_host_wait(fixture: StoreFixture) {
    fixture.fill("a.example", 1, 3).await;
    fixture.fill("b.example", 10, 2).await;
    assert!(pause(&fixture, "a.example").await);
    assert!(!pause(&fixture, "a.example").await, "it is paused already");
    let claimed = fixture.claim(limits(10, 10)).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|job| job.callback_url.host_str() == "b.example"));

    // A new callback is not leased to the worker that recorded its decision.
    let new = vec![decided("s/20-0", message(20, "a.example"), fixture.now())];
    assert_eq!(fixture.record(new.clone()).await, [RecordVerdict::DecidedPaused]);
    assert_eq!(fixture.record(new).await, [RecordVerdict::Redelivered]);
    let open = vec![decided("s/21-0", message(21, "b.example"), fixture.now())];
    assert_eq!(fixture.record(open).await, [RecordVerdict::Decided]);
    assert!(fixture.other.claim(limits(10, 10)).await.unwrap().is_empty());

    assert!(resume(&fixture, "a.example").await);
    assert!(!resume(&fixture, "a.example").await);
    let claimed = fixture.claim(limits(10, 10)).await;
    assert_eq!(claimed.len(), 4);
    assert!(claimed.iter().all(|job| (job.attempt, job.round_attempt) == (attempt(1), attempt(1))));
}

pub(super) async fn the_time_of_a_pause_does_not_count_against_a_round(fixture: StoreFixture) {
    let job = fixture.decide(1, "a.example").await;
    let soon = AfterAttempt::Retry { after: Duration::from_secs(1) };
    fixture.report(&job, AttemptResult::TimedOut, soon).await;
    fixture.advance(Duration::from_mins(10)).await;
    for _ in 0..2 {
        pause(&fixture, "a.example").await;
        fixture.advance(Duration::from_hours(20)).await;
        resume(&fixture, "a.example").await;
        fixture.advance(Duration::from_mins(5)).await;
    }
    let claimed = fixture.claim(limits(10, 10)).await.remove(0);
    let expected = Duration::from_mins(19)..Duration::from_mins(21);
    assert!(expected.contains(&claimed.round_age), "{:?}", claimed.round_age);

    // A round that began during a pause loses only the time since.
    fixture.deliver(&claimed).await;
    pause(&fixture, "a.example").await;
    fixture.advance(Duration::from_hours(1)).await;
    fixture.record(vec![decided("s/2-0", message(2, "a.example"), fixture.now())]).await;
    fixture.advance(Duration::from_hours(1)).await;
    resume(&fixture, "a.example").await;
    fixture.advance(Duration::from_mins(5)).await;
    let claimed = fixture.claim(limits(10, 10)).await.remove(0);
    assert!(
        (Duration::from_mins(4)..Duration::from_mins(6)).contains(&claimed.round_age),
        "{:?}",
        claimed.round_age
    );
}

pub(super) async fn an_old_pause_counts_while_a_callback_waits(fixture: StoreFixture) {
    let job = fixture.decide(1, "a.example").await;
    let soon = AfterAttempt::Retry { after: Duration::from_secs(1) };
    fixture.report(&job, AttemptResult::TimedOut, soon).await;
    for days in [20, 40] {
        pause(&fixture, "a.example").await;
        fixture.advance(Duration::from_hours(days * 24)).await;
        resume(&fixture, "a.example").await;
        fixture.advance(Duration::from_mins(5)).await;
    }
    // A new pause deletes those that no callback needs.
    pause(&fixture, "b.example").await;
    let claimed = fixture.claim(limits(10, 10)).await.remove(0);
    let expected = Duration::from_mins(9)..Duration::from_mins(11);
    assert!(expected.contains(&claimed.round_age), "{:?}", claimed.round_age);
}

pub(super) async fn a_paused_host_with_a_long_backlog_delays_no_other(fixture: StoreFixture) {
    fixture.fill("a.example", 1, 1100).await;
    pause(&fixture, "a.example").await;
    fixture.advance(Duration::from_secs(1)).await;
    fixture.fill("b.example", 2000, 1).await;
    let claimed = fixture.claim(limits(10, 10)).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].callback_url.host_str(), "b.example");
    assert!(fixture.claim(limits(10, 10)).await.is_empty());
    resume(&fixture, "a.example").await;
    assert_eq!(fixture.claim(limits(10, 10)).await.len(), 10);
}

pub(super) async fn hosts_are_listed_with_health_and_backlog(fixture: StoreFixture) {
    let dead = fixture.decide(1, "a.example").await;
    fixture.give_up(&dead).await;
    let waiting = fixture.decide(2, "a.example").await;
    fixture.advance(Duration::from_secs(1)).await;
    let later = AfterAttempt::Retry { after: Duration::from_mins(1) };
    fixture.report(&waiting, AttemptResult::Answered(503), later).await;
    let delivered = fixture.decide(3, "b.example").await;
    fixture.deliver(&delivered).await;
    let unavailable = UnavailableReceiver {
        receiver: "https a.example 443".to_owned(),
        probes: 2,
        probe_after: Duration::from_secs(10),
    };
    fixture.store.sync_receivers(&[unavailable], &[]).await.unwrap();
    pause(&fixture, "c.example").await;

    let hosts = fixture.view.hosts().await.unwrap();
    let names: Vec<&str> = hosts.iter().map(|host| host.host.as_str()).collect();
    assert_eq!(names, ["a.example", "b.example", "c.example"]);
    let [a, b, c] = &hosts[..] else { panic!("three hosts") };
    assert_eq!((a.pending, a.dead, a.unavailable.len(), a.paused_at), (1, 1, 1, None));
    assert_eq!((a.unavailable[0].receiver.as_str(), a.unavailable[0].probes), ("https 443", 2));
    let last = a.last_answer.as_ref().unwrap();
    assert_eq!((last.result.as_str(), last.http_status), ("refused", Some(503)));
    assert_eq!((b.pending, b.dead), (0, 0));
    assert_eq!(b.last_answer.as_ref().unwrap().http_status, Some(204));
    assert!(c.paused_at.is_some() && c.last_answer.is_none());
}
