//! The queue on Amazon SQS, as Moto plays it.

mod access;
mod faults;
mod peer;
mod sessions;

use std::env;

pub(super) use chargegate_servers::sqs::MotoQueue;
use chargegate_servers::sqs::REGION;

use super::compose::SpinQueue;
use super::host::SpinHost;

/// Where the Moto that all tests share is.
pub(super) fn endpoint() -> String {
    env::var("CHARGEGATE_SQS_ENDPOINT").expect("CHARGEGATE_SQS_ENDPOINT must name a server")
}

/// A queue of one test.
pub(super) fn queue() -> MotoQueue {
    MotoQueue::create(&endpoint()).unwrap()
}

/// What names a queue, with a key that Moto believes.
pub(super) fn variables(path: &str) -> [(&'static str, String); 4] {
    [
        ("queue_path", path.to_owned()),
        ("aws_region", REGION.to_owned()),
        ("aws_access_key_id", "AKIATEST".to_owned()),
        ("aws_secret_access_key", "secret".to_owned()),
    ]
}

/// The application over a queue at `url`, patient, for servers and machines take their time; `others` win.
async fn up(url: &str, path: &str, others: &[(&str, &str)]) -> SpinHost {
    let usual = variables(path).map(|(name, value)| (name.to_owned(), value));
    let patient = [("queue_timeout_ms", "20000"), ("enqueue_timeout_ms", "50000")];
    let others = [("queue_url", url)].into_iter().chain(patient).chain(others.iter().copied());
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    SpinHost::up_with(SpinQueue::Sqs, &usual.into_iter().chain(others).collect()).await
}
