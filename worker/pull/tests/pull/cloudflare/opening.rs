//! Checks before a queue is used.

use std::time::Duration;

use chargegate_cloudflare_emulator::{
    ApiTokenSettings, CloudflareEmulator, EmulatedQueueSettings, EmulatorEndpoint, EmulatorFault,
    EmulatorSettings as Emulated, GarbageBody, PullConsumerSettings, QueueConsumer, TokenPermission,
};
use chargegate_pull::cloudflare::{
    CloudflareEngine, CloudflareOpenError, CloudflareSettings, CloudflareWarning,
};
use chargegate_storage::Effects;

use super::emulator;
use crate::queues::cloudflare::{ACCOUNT, QUEUE, TOKEN, emulated, settings};

async fn opened(settings: CloudflareSettings) -> Result<Vec<CloudflareWarning>, CloudflareOpenError> {
    CloudflareEngine::open(settings, Effects::system()).await.map(|(_, warnings)| warnings)
}

async fn with(
    change: impl FnOnce(&mut Emulated),
) -> (CloudflareEmulator, Result<Vec<CloudflareWarning>, CloudflareOpenError>) {
    let mut start = emulated();
    change(&mut start);
    let emulator = CloudflareEmulator::start(start).await.unwrap();
    let result = opened(settings(&emulator)).await;
    (emulator, result)
}

#[track_caller]
fn names(result: Result<Vec<CloudflareWarning>, CloudflareOpenError>, texts: &[&str]) {
    let said = result.expect_err("it is refused").to_string();
    for text in texts {
        assert!(said.contains(text), "{said}");
    }
    assert!(!said.contains(TOKEN) || said.contains("the token"), "{said}");
}

fn access(access: TokenPermission) -> impl FnOnce(&mut Emulated) {
    move |start| start.tokens = vec![ApiTokenSettings::new(ACCOUNT, TOKEN, access)]
}

#[tokio::test]
async fn a_queue_as_readme_has_it_needs_no_warning() {
    let (_emulator, result) = with(|_| {}).await;
    assert_eq!(result.unwrap(), []);
}

#[tokio::test]
async fn a_token_that_is_wrong_or_may_too_little_is_named() {
    let wanted = ["does not accept the token", "Queues Edit"];
    names(with(|start| start.tokens.clear()).await.1, &wanted);
    names(with(access(TokenPermission::Read)).await.1, &wanted);
    names(with(access(TokenPermission::Pull)).await.1, &wanted);
}

#[tokio::test]
async fn a_queue_that_is_not_there_or_cannot_be_pulled_is_named() {
    names(with(|start| start.queues.clear()).await.1, &["no queue of that id", "queues create"]);
    for consumer in [QueueConsumer::None, QueueConsumer::Worker { script: "w".to_owned() }] {
        let (_emulator, result) = with(|start| start.queues[0].consumer = consumer).await;
        names(result, &["jobs", "queues consumer http add jobs"]);
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let emulator = emulator().await;
    emulator.stop_listening().await;
    names(opened(settings(&emulator)).await, &["cannot be reached"]);
}

#[tokio::test]
async fn only_what_lacks_for_acknowledging_is_a_reason_not_to_start() {
    let emulator = emulator().await;
    for fault in [
        EmulatorFault::Throttled(None),
        EmulatorFault::Internal,
        EmulatorFault::Garbage(GarbageBody::OtherShape),
    ] {
        emulator.inject(EmulatorEndpoint::Ack, fault, 1);
        assert_eq!(opened(settings(&emulator)).await.unwrap(), [], "{fault:?}");
        assert_eq!(emulator.faults_left(EmulatorEndpoint::Ack), 0, "it was asked");
    }
    emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::Forbidden, 1);
    names(opened(settings(&emulator)).await, &["does not accept the token"]);
}

#[tokio::test]
async fn a_queue_that_would_lose_messages_is_warned_of() {
    let (_emulator, result) = with(|start| {
        let jobs = &mut start.queues[0];
        *jobs = EmulatedQueueSettings::new(ACCOUNT, QUEUE, "jobs");
        jobs.consumer = QueueConsumer::HttpPull(PullConsumerSettings::default());
        jobs.retention = Duration::from_mins(1);
        jobs.delivery_paused = true;
        jobs.delivery_delay = Duration::from_secs(3);
    })
    .await;
    let queue = || "jobs".to_owned();
    let expected = [
        CloudflareWarning::FewRetries { queue: queue(), max_retries: 3, needed: 20 },
        CloudflareWarning::NoDeadLetterQueue { queue: queue() },
        CloudflareWarning::ShortRetention { queue: queue(), seconds: 60 },
        CloudflareWarning::Delayed { queue: queue(), seconds: 3 },
        CloudflareWarning::Paused { queue: queue() },
    ];
    assert_eq!(result.unwrap(), expected);
}
