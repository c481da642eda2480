//! Throughput: `cargo test --release -p chargegate-sqlite rate -- --ignored --nocapture`.

use tokio::time::Instant;

use super::*;

const CALLERS: u32 = 64;
const MESSAGES: u32 = 50_000;

fn body(request: u32) -> String {
    message(request, &format!("host-{}.example", request % 20)).encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rate_of_enqueues() {
    let harness = SqliteHarness::new().await;
    let began = Instant::now();
    enqueue_all(&harness).await;
    print_rate("enqueue", began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rate_of_full_cycles() {
    let harness = SqliteHarness::new().await;
    let began = Instant::now();
    let workers: Vec<_> = (0..4).map(|_| tokio::spawn(work(harness.engine.clone()))).collect();
    enqueue_all(&harness).await;
    let mut done = 0;
    for worker in workers {
        done += worker.await.unwrap();
    }
    assert_eq!(done, usize::try_from(MESSAGES).unwrap());
    print_rate("enqueue + lease + record + acknowledge + report", began);
    let began = Instant::now();
    assert!(harness.engine.inspector().reconcile().await.unwrap().balanced());
    println!("reconcile of {MESSAGES}: {:?}", began.elapsed());
}

async fn enqueue_all(harness: &SqliteHarness) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let engine = harness.engine.clone();
            tokio::spawn(async move {
                for n in (caller..MESSAGES).step_by(usize::try_from(CALLERS).unwrap()) {
                    engine.enqueue(body(n)).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

async fn work(engine: SqliteEngine) -> usize {
    let mut done = 0;
    loop {
        let leased = engine.lease(64, Duration::from_millis(500)).await.unwrap();
        if leased.is_empty() {
            return done;
        }
        done += leased.len();
        let keys = leased.iter().map(|message| message.key.clone()).collect();
        let outcomes = leased.iter().map(|leased| {
            decided(leased.key.as_str(), SessionMessage::decode(&leased.body).unwrap(), UnixMillis(START))
        });
        let jobs = record_first(&engine, outcomes.collect()).await;
        engine.ack(keys).await.unwrap();
        let next = AfterAttempt::Delivered;
        let reports =
            jobs.iter().map(|job| report(job, UnixMillis(START), AttemptResult::Answered(200), next));
        engine.report(&reports.collect::<Vec<_>>()).await.unwrap();
    }
}

fn print_rate(what: &str, began: Instant) {
    let rate = f64::from(MESSAGES) / began.elapsed().as_secs_f64();
    println!("{what}: {rate:.0}/s");
}
