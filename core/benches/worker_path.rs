//! Processing of a message in the worker: decoding, judging an address, and scheduling retries.
#![expect(clippy::unwrap_used, reason = "the input of a benchmark is valid")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use chargegate_core::{
    AddressPolicy, AttemptOutcome, DecisionRules, DecisionStatus, MessageAge, RetryPolicy, SessionMessage,
    UnixMillis, callback_body, parse_authorization_answer,
};
use criterion::{Criterion, criterion_group, criterion_main};

const MESSAGE: &str = r#"{"v":1,"id":"019aa9a4-1c00-7000-8000-000000000001","station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001","callback_url":"https://callbacks.example.com/charging/v1/results?tenant=blue-harbour","accepted_at":1763800000000,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;

fn worker_steps(c: &mut Criterion) {
    let message = SessionMessage::decode(MESSAGE.as_bytes()).unwrap();
    let rules =
        DecisionRules::new(Duration::from_secs(10), Duration::from_secs(2), Duration::from_millis(500));
    let rules = rules.unwrap();
    let policy = AddressPolicy::default();
    let retry = RetryPolicy::default();
    let attempt = NonZeroU32::new(3).unwrap();

    let mut group = c.benchmark_group("worker_step");
    group.bench_function("decode", |b| b.iter(|| SessionMessage::decode(black_box(MESSAGE.as_bytes()))));
    group.bench_function("age_and_step", |b| {
        b.iter(|| {
            rules.next_step(
                MessageAge::measure(black_box(UnixMillis(9_000)), black_box(UnixMillis(1_000)), None).value,
            )
        });
    });
    group.bench_function("read_answer", |b| {
        b.iter(|| parse_authorization_answer(black_box(br#"{"status":"not_allowed"}"#)));
    });
    group.bench_function("judge_address", |b| b.iter(|| policy.judge(black_box([93, 184, 216, 34].into()))));
    group.bench_function("retry", |b| {
        b.iter(|| {
            retry.next_attempt(
                black_box(AttemptOutcome::Failed),
                attempt,
                Duration::from_secs(9),
                black_box(77),
            )
        });
    });
    group.bench_function("callback_body", |b| {
        b.iter(|| {
            callback_body(
                &message.station_id,
                black_box(message.driver_token.as_str()),
                DecisionStatus::Allowed,
            )
        });
    });
    group.finish();
}

criterion_group!(benches, worker_steps);
criterion_main!(benches);
