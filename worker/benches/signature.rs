//! The cost of the signatures of one attempt to deliver a callback.

use std::hint::black_box;

use chargegate_core::{RequestId, UnixMillis};
use chargegate_worker::CallbackKeys;
use criterion::{Criterion, criterion_group, criterion_main};

const BODY: &str = r#"{"station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001","status":"allowed"}"#;

fn signatures(criterion: &mut Criterion) {
    let Ok(keys) = CallbackKeys::generate() else { return };
    let id = RequestId::v7(UnixMillis(1), [7; 10]);
    let mut group = criterion.benchmark_group("callback signature");
    group.bench_function("one key", |bencher| {
        bencher.iter(|| keys.signatures(black_box(&id), 1_764_000_000, black_box(BODY)));
    });
    let Ok(keys) = keys.rotate(false) else { return };
    group.bench_function("two keys during a rotation", |bencher| {
        bencher.iter(|| keys.signatures(black_box(&id), 1_764_000_000, black_box(BODY)));
    });
    group.finish();
}

criterion_group!(benches, signatures);
criterion_main!(benches);
