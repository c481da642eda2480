//! The cost of signing a request that sends one message to Amazon SQS.
#![expect(clippy::unwrap_used, reason = "a benchmark of known good input")]

use std::hint::black_box;

use chargegate_core::UnixMillis;
use chargegate_sigv4::{AwsCredentials, SigningScope, UnsignedRequest, sign};
use criterion::{Criterion, criterion_group, criterion_main};

fn signing(c: &mut Criterion) {
    let body = "x".repeat(700);
    // About the length of a real session token.
    let token = "t".repeat(1_000);
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.SendMessage")];
    let request = UnsignedRequest {
        method: "POST",
        host: "sqs.eu-central-1.amazonaws.com",
        path: "/",
        query: "",
        headers: &headers,
        body: body.as_bytes(),
    };
    let scope = SigningScope { region: "eu-central-1", service: "sqs" };
    for (name, token) in [("with_long_lived_key", None), ("with_session_token", Some(&*token))] {
        let credentials =
            AwsCredentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token).unwrap();
        c.bench_function(name, |b| {
            b.iter(|| {
                sign(black_box(&request), scope, black_box(&credentials), UnixMillis(1_763_800_000_000))
                    .headers()
                    .count()
            });
        });
    }
}

criterion_group!(benches, signing);
criterion_main!(benches);
