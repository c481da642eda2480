//! Concurrent workers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::store::{RecordVerdict, Store};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;

const TASKS: u8 = 8;

fn stores(fixture: &StoreFixture) -> impl Iterator<Item = Arc<dyn Store>> {
    [Arc::clone(&fixture.store), Arc::clone(&fixture.other)].into_iter().cycle().take(usize::from(TASKS))
}

pub(super) async fn racing_workers_record_the_same_batch_once(fixture: StoreFixture) {
    const BATCHES: u32 = 6;
    const SIZE: u32 = 400;
    let together = Arc::new(Barrier::new(usize::from(TASKS)));
    let mut tasks = JoinSet::new();
    for (task, store) in (0_u8..).zip(stores(&fixture)) {
        let (now, together) = (fixture.now(), Arc::clone(&together));
        tasks.spawn(async move {
            let mut verdicts = Vec::new();
            for batch in 0..BATCHES {
                // Each task records the same requests in another order; half of the tasks have them from other messages.
                let mut numbers: Vec<u32> = (batch * SIZE..(batch + 1) * SIZE).collect();
                numbers.rotate_left(usize::from(task) * 47);
                let outcomes = numbers
                    .iter()
                    .map(|n| decided(&format!("s/{n}-{}", task % 2), message(*n, "a.example"), now));
                together.wait().await;
                verdicts.extend(
                    numbers.iter().copied().zip(store.record(&outcomes.collect::<Vec<_>>()).await.unwrap()),
                );
            }
            verdicts
        });
    }
    let mut decided: HashMap<u32, usize> = HashMap::new();
    let (mut duplicates, mut redelivered) = (0_usize, 0_usize);
    for (request, recorded) in tasks.join_all().await.into_iter().flatten() {
        match recorded {
            RecordVerdict::Decided => *decided.entry(request).or_default() += 1,
            RecordVerdict::Duplicate { resent } => {
                assert!(!resent);
                duplicates += 1;
            }
            RecordVerdict::Redelivered => redelivered += 1,
            RecordVerdict::DecidedPaused => panic!("no host was paused"),
            RecordVerdict::Poison => panic!("there was no poison"),
        }
    }
    let requests = usize::try_from(BATCHES * SIZE).unwrap();
    assert_eq!(decided.len(), requests);
    assert!(decided.values().all(|count| *count == 1));
    // Of the two messages of each request, one decided it and the other is its duplicate, once.
    assert_eq!(duplicates, requests);
    assert_eq!(redelivered, requests * usize::from(TASKS) - 2 * requests);
    let (totals, requests) = (fixture.totals().await, u64::from(BATCHES * SIZE));
    assert_eq!((totals.decided, totals.duplicates), (requests, requests));
    assert_eq!((totals.in_flight, totals.torn), (requests, 0));
}

pub(super) async fn racing_workers_claim_each_callback_once(fixture: StoreFixture) {
    const EACH: u16 = 400;
    const HOSTS: u16 = 5;
    for host in 0..u32::from(HOSTS) {
        fixture.fill(&format!("host-{host}.example"), host * 1000, u32::from(EACH)).await;
    }
    let mut tasks = JoinSet::new();
    for store in stores(&fixture) {
        let now = fixture.now();
        tasks.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let jobs = store.claim(limits(64, 64)).await.unwrap();
                if jobs.is_empty() {
                    return claimed;
                }
                let reports: Vec<_> = jobs.iter().map(|job| delivered(job, now)).collect();
                store.report(&reports).await.unwrap();
                claimed.extend(jobs.into_iter().map(|job| job.request_id));
            }
        });
    }
    let due = usize::from(EACH * HOSTS);
    let mut claimed: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    // A worker that found only what others were claiming left early; what it left is still due.
    claimed.extend(fixture.claim(limits(due, due)).await.into_iter().map(|job| job.request_id));
    assert_eq!(claimed.len(), due);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), due);
}

pub(super) async fn racing_workers_report_in_any_order(fixture: StoreFixture) {
    let outcomes = (0..400).map(|n| decided(&format!("s/{n}-0"), message(n, "a.example"), fixture.now()));
    let jobs = record_first(fixture.store.as_ref(), outcomes.collect()).await;
    let mut tasks = JoinSet::new();
    for (task, store) in stores(&fixture).enumerate() {
        let mut reports: Vec<_> = jobs.iter().map(|job| delivered(job, fixture.now())).collect();
        reports.rotate_left(task * 31);
        if task % 2 == 0 {
            reports.reverse();
        }
        tasks.spawn(async move { store.report(&reports).await.unwrap() });
    }
    tasks.join_all().await;
    let totals = fixture.totals().await;
    assert_eq!((totals.delivered, totals.in_flight, totals.torn), (400, 0, 0));
    assert_eq!(fixture.view.decision(&request_id(7)).await.unwrap().unwrap().attempts.len(), 1);
}

pub(super) async fn racing_repeats_send_a_callback_again_once(fixture: StoreFixture) {
    let first = fixture.decide(1, "a.example").await;
    fixture.deliver(&first).await;
    fixture.advance(Duration::from_mins(2)).await;
    let mut tasks = JoinSet::new();
    for (task, store) in stores(&fixture).enumerate() {
        let outcome = decided(&format!("s/9-{task}"), message(1, "a.example"), fixture.now());
        tasks.spawn(async move { store.record(&[outcome]).await.unwrap().remove(0) });
    }
    let recorded = tasks.join_all().await;
    let resent = recorded.iter().filter(|it| **it == RecordVerdict::Duplicate { resent: true }).count();
    assert_eq!(resent, 1, "{recorded:?}");
    assert_eq!(fixture.claim(limits(9, 9)).await.len(), 1);
    assert_eq!(fixture.totals().await.duplicates, u64::from(TASKS));
}
