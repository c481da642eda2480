use tokio::time::advance;

use super::*;

const START: u64 = 1_800_000_000;

fn stats(capacity: usize) -> Arc<AclCallStats> {
    let start = UNIX_EPOCH + Duration::from_millis(START * 1_000 + 250);
    Arc::new(AclCallStats::new(NonZeroUsize::new(capacity), start))
}

fn second(time: u64) -> AclSecond {
    AclSecond {
        time,
        calls: 0,
        answered: 0,
        failed: 0,
        unanswered: 0,
        max_in_flight: 0,
        mean_in_flight: 0.0,
        mean_queue: 0.0,
    }
}

#[tokio::test(start_paused = true)]
async fn each_end_is_counted_in_its_second() {
    let stats = stats(0);
    let (answered, failed, dropped) = (stats.start_call(), stats.start_call(), stats.start_call());
    assert_eq!((answered.earlier_calls(), dropped.earlier_calls()), (0, 2));
    // Seconds begin with those of the wall clock.
    advance(Duration::from_millis(750)).await;
    answered.finish(AclCallEnd::Answered);
    failed.finish(AclCallEnd::Failed);
    drop(dropped);
    let AclCallFigures { totals, seconds, .. } = stats.figures(60);
    assert_eq!(
        totals,
        AclCallCounts { calls: 3, in_flight: 0, max_in_flight: 3, answered: 1, failed: 1, unanswered: 1 }
    );
    let first = AclSecond { calls: 3, max_in_flight: 3, mean_in_flight: 2.25, ..second(START) };
    let next = AclSecond { answered: 1, failed: 1, unanswered: 1, max_in_flight: 3, ..second(START + 1) };
    assert_eq!(seconds, [first, next]);
}

#[tokio::test(start_paused = true)]
async fn a_second_without_events_shows_the_calls_in_flight() {
    let stats = stats(1);
    advance(Duration::from_millis(750)).await;
    let calls = [stats.start_call(), stats.start_call(), stats.start_call()];
    advance(Duration::from_millis(2_500)).await;
    let seconds = stats.figures(60).seconds;
    let busy = AclSecond { max_in_flight: 3, mean_in_flight: 3.0, mean_queue: 2.0, ..second(START + 2) };
    let first = AclSecond { calls: 3, time: START + 1, ..busy };
    assert_eq!(seconds, [second(START), first, busy, AclSecond { time: START + 3, ..busy }]);
    assert_eq!(stats.queue(), 2);
    drop(calls);
    assert_eq!(stats.queue(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_last_seconds_are_kept() {
    let stats = stats(0);
    for _ in 0..2 * MAX_SECONDS {
        stats.start_call().finish(AclCallEnd::Answered);
        advance(SECOND).await;
    }
    let all = stats.figures(usize::MAX).seconds;
    assert_eq!(all.len(), MAX_SECONDS);
    assert!(all.iter().zip(all.iter().skip(1)).all(|(one, next)| one.time + 1 == next.time));
    assert_eq!(stats.figures(60).seconds, all[MAX_SECONDS - 60..]);
    assert_eq!(stats.figures(0).seconds, []);

    let call = stats.start_call();
    advance(Duration::from_hours(100_000)).await;
    let idle = stats.figures(usize::MAX).seconds;
    assert_eq!(idle.len(), MAX_SECONDS);
    assert_eq!((idle[0].calls, idle[0].max_in_flight, idle[0].mean_in_flight), (0, 1, 1.0));
    drop(call);
}
