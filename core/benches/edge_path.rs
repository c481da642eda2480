//! Processing of a request at the edge, from its body to the queue message, in total and per step. `plain` does the
//! same with `serde_json`, `regex`, `url` and `uuid`, for comparison.
#![expect(clippy::unwrap_used, reason = "the input of a benchmark is valid")]

#[path = "edge_path/plain.rs"]
mod plain;

use std::hint::black_box;

use chargegate_core::{
    CallbackUrl, DestinationPolicy, DriverToken, IdempotencyKey, RequestId, SessionMessage, SessionRequest,
    StationId, Traceparent, UnixMillis,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A typical body, of 250 bytes.
const BODY: &str = r#"{"station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001-abcdefghijklmn","callback_url":"https://callbacks.example.com/charging/v1/results?tenant=blue-harbour&station=4711&correlation=ab12cd34ef&attempt=a123456"}"#;
const NOW: UnixMillis = UnixMillis(1_763_800_000_000);
const RANDOM: [u8; 34] = *b"0123456789abcdef0123456789abcdef01";

fn accept(body: &[u8], destinations: &DestinationPolicy, random: [u8; 34]) -> String {
    let request = SessionRequest::parse(body, destinations).unwrap();
    let (id, rest) = random.split_first_chunk::<10>().unwrap();
    let (trace, rest) = rest.split_first_chunk::<16>().unwrap();
    let (parent, _) = rest.split_first_chunk::<8>().unwrap();
    let traceparent = Traceparent::new(*trace, *parent);
    SessionMessage::new(request, RequestId::v7(NOW, *id), NOW, Some(traceparent)).encode()
}

fn request_to_message(c: &mut Criterion) {
    assert_eq!(BODY.len(), 250);
    let destinations = DestinationPolicy::default();
    let pattern = plain::TokenPattern::new();
    assert_eq!(
        accept(BODY.as_bytes(), &destinations, RANDOM),
        plain::accept(BODY.as_bytes(), &pattern, NOW.0, RANDOM)
    );

    let mut group = c.benchmark_group("request_to_message");
    group.throughput(Throughput::Bytes(250));
    group.bench_function("core", |b| {
        b.iter(|| accept(black_box(BODY.as_bytes()), &destinations, black_box(RANDOM)));
    });
    group.bench_function("plain", |b| {
        b.iter(|| plain::accept(black_box(BODY.as_bytes()), &pattern, black_box(NOW.0), black_box(RANDOM)));
    });
    group.finish();
}

fn edge_steps(c: &mut Criterion) {
    let destinations = DestinationPolicy::default();
    let request = SessionRequest::parse(BODY.as_bytes(), &destinations).unwrap();
    let id = RequestId::v7(NOW, *RANDOM.first_chunk().unwrap());
    let trace = Traceparent::new([7; 16], [9; 8]);
    let message = SessionMessage::new(request.clone(), id, NOW, Some(trace));
    let station = request.station_id.as_str();
    let token = request.driver_token.as_str();
    let url = request.callback_url.as_str();

    let mut group = c.benchmark_group("edge_step");
    group.bench_function("request", |b| {
        b.iter(|| SessionRequest::parse(black_box(BODY.as_bytes()), &destinations));
    });
    group.bench_function("station_id", |b| b.iter(|| black_box(station).parse::<StationId>()));
    group.bench_function("driver_token", |b| b.iter(|| black_box(token).parse::<DriverToken>()));
    group.bench_function("callback_url", |b| b.iter(|| black_box(url).parse::<CallbackUrl>()));
    group.bench_function("request_id", |b| b.iter(|| RequestId::v7(black_box(NOW), black_box([3; 10]))));
    group.bench_function("idempotent_request_id", |b| {
        let key = IdempotencyKey::from_header(b"4f2c7e0a-order-0001").unwrap();
        b.iter(|| black_box(&key).request_id(&request));
    });
    group.bench_function("traceparent", |b| {
        b.iter(|| Traceparent::from_header(black_box(trace.as_str()).as_bytes()));
    });
    group.bench_function("encode", |b| b.iter(|| black_box(&message).encode()));
    group.finish();
}

criterion_group!(benches, request_to_message, edge_steps);
criterion_main!(benches);
