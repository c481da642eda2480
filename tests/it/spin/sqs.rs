//! The queue on Amazon SQS, emulated by Moto.

mod access;
mod faults;
mod peer;
mod sessions;

use std::env;

pub(super) use chargegate_servers::sqs::MotoQueue;
use chargegate_servers::sqs::REGION;

use super::compose::SpinQueue;
use super::host::SpinHost;

/// Returns the endpoint of the shared Moto server.
pub(super) fn endpoint() -> String {
    env::var("CHARGEGATE_SQS_ENDPOINT").expect("CHARGEGATE_SQS_ENDPOINT must name a server")
}

/// Creates a queue for one test.
pub(super) fn queue() -> MotoQueue {
    MotoQueue::create(&endpoint()).unwrap()
}

/// Returns the variables that name a queue, with a key that Moto accepts.
pub(super) fn variables(path: &str) -> [(&'static str, String); 4] {
    [
        ("queue_path", path.to_owned()),
        ("aws_region", REGION.to_owned()),
        ("aws_access_key_id", "AKIATEST".to_owned()),
        ("aws_secret_access_key", "secret".to_owned()),
    ]
}

/// Starts the application on a queue at `url` with long timeouts for a busy machine; `others` take precedence.
async fn up(url: &str, path: &str, others: &[(&str, &str)]) -> SpinHost {
    let defaults = variables(path).map(|(name, value)| (name.to_owned(), value));
    let long = [("queue_timeout_ms", "20000"), ("enqueue_timeout_ms", "50000")];
    let others = [("queue_url", url)].into_iter().chain(long).chain(others.iter().copied());
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    SpinHost::up_with(SpinQueue::Sqs, &defaults.into_iter().chain(others).collect()).await
}
