use super::super::fake_service::FAKE_SETTINGS;
use super::*;

fn pacing(idle: IdlePolicy) -> ReceivePacing {
    ReceivePacing::new(PullSettings { idle, pullers: 8, ..FAKE_SETTINGS })
}

fn wait(pacing: &ReceivePacing) -> Duration {
    pacing.not_before().saturating_duration_since(Instant::now())
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_the_queue_is_empty_and_end_with_the_first_message() {
    let mut pacing = pacing(IdlePolicy::Pause(Duration::from_secs(5)));
    for pause in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000] {
        pacing.note_received(100, 0, Instant::now());
        assert_eq!(wait(&pacing).as_millis(), pause);
        tokio::time::advance(wait(&pacing)).await;
    }
    pacing.note_received(100, 100, Instant::now());
    assert_eq!(wait(&pacing), Duration::ZERO);
    pacing.note_received(100, 0, Instant::now());
    assert_eq!(wait(&pacing), PAUSE_BASE);
}

#[tokio::test(start_paused = true)]
async fn concurrent_empty_calls_cause_one_pause() {
    let mut pacing = pacing(IdlePolicy::Pause(Duration::from_secs(5)));
    for pause in [PAUSE_BASE, PAUSE_BASE * 2] {
        let begun = Instant::now();
        for _ in 0..6 {
            tokio::time::advance(Duration::from_millis(1)).await;
            pacing.note_received(100, 0, begun);
        }
        assert_eq!(wait(&pacing), pause.saturating_sub(Duration::from_millis(5)));
        tokio::time::advance(wait(&pacing)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_end_a_pause_but_not_a_hold_off() {
    let mut pacing = pacing(IdlePolicy::Pause(Duration::from_secs(5)));
    let begun = Instant::now();
    tokio::time::advance(Duration::from_millis(1)).await;
    pacing.note_received(100, 0, begun);
    pacing.note_received(100, 100, begun);
    assert_eq!(wait(&pacing), Duration::ZERO);
    pacing.note_received(100, 0, begun);
    assert_eq!(wait(&pacing), Duration::ZERO, "another call did not find it empty");
    let until = Instant::now() + Duration::from_secs(1);
    pacing.hold_off(until);
    pacing.note_received(100, 100, begun);
    assert_eq!(pacing.not_before(), until);
}

#[tokio::test(start_paused = true)]
async fn full_calls_raise_the_concurrency_and_emptier_ones_lower_it() {
    let mut pacing = pacing(IdlePolicy::Pause(Duration::from_secs(5)));
    let mut max_calls = Vec::new();
    for got in [100, 100, 100, 100, 50, 49, 1, 100, 0, 100] {
        pacing.note_received(100, got, Instant::now());
        max_calls.push(pacing.max_calls());
    }
    assert_eq!(max_calls, [2, 4, 8, 8, 8, 4, 2, 4, 1, 2]);
    pacing.hold_off(Instant::now());
    assert_eq!(pacing.max_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_return_little_are_delayed_to_fill_up() {
    let mut pacing = pacing(IdlePolicy::Pause(Duration::from_secs(5)));
    pacing.note_received(100, 49, Instant::now());
    assert_eq!(wait(&pacing), FAKE_SETTINGS.linger);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_that_returns_early_is_not_repeated_at_once() {
    let mut pacing = pacing(IdlePolicy::LongPoll(Duration::from_secs(20)));
    pacing.note_received(10, 0, Instant::now());
    assert_eq!(wait(&pacing), PAUSE_BASE);
    let begun = Instant::now();
    tokio::time::advance(Duration::from_secs(20)).await;
    pacing.note_received(10, 0, begun);
    assert_eq!(wait(&pacing), Duration::ZERO);
}
