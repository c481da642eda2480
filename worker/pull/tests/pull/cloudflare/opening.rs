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

async fn open(settings: CloudflareSettings) -> Result<Vec<CloudflareWarning>, CloudflareOpenError> {
    CloudflareEngine::open(settings, Effects::system()).await.map(|(_, warnings)| warnings)
}

async fn open_with(
    change: impl FnOnce(&mut Emulated),
) -> (CloudflareEmulator, Result<Vec<CloudflareWarning>, CloudflareOpenError>) {
    let mut start = emulated();
    change(&mut start);
    let emulator = CloudflareEmulator::start(start).await.unwrap();
    let result = open(settings(&emulator)).await;
    (emulator, result)
}

#[track_caller]
fn assert_error_names(result: Result<Vec<CloudflareWarning>, CloudflareOpenError>, texts: &[&str]) {
    let message = result.expect_err("the queue is refused").to_string();
    for text in texts {
        assert!(message.contains(text), "{message}");
    }
    assert!(!message.contains(TOKEN) || message.contains("the token"), "{message}");
}

fn access(access: TokenPermission) -> impl FnOnce(&mut Emulated) {
    move |start| start.tokens = vec![ApiTokenSettings::new(ACCOUNT, TOKEN, access)]
}

#[tokio::test]
async fn a_queue_created_as_documented_causes_no_warning() {
    let (_emulator, result) = open_with(|_| {}).await;
    assert_eq!(result.unwrap(), []);
}

#[tokio::test]
async fn a_token_that_is_wrong_or_lacks_permissions_is_reported() {
    let wanted = ["does not accept the token", "Queues Edit"];
    assert_error_names(open_with(|start| start.tokens.clear()).await.1, &wanted);
    assert_error_names(open_with(access(TokenPermission::Read)).await.1, &wanted);
    assert_error_names(open_with(access(TokenPermission::Pull)).await.1, &wanted);
}

#[tokio::test]
async fn a_missing_or_unpullable_queue_is_reported() {
    assert_error_names(
        open_with(|start| start.queues.clear()).await.1,
        &["no queue of that id", "queues create"],
    );
    for consumer in [QueueConsumer::None, QueueConsumer::Worker { script: "w".to_owned() }] {
        let (_emulator, result) = open_with(|start| start.queues[0].consumer = consumer).await;
        assert_error_names(result, &["jobs", "queues consumer http add jobs"]);
    }
}

#[tokio::test]
async fn an_unreachable_service_is_reported() {
    let emulator = emulator().await;
    emulator.stop_listening().await;
    assert_error_names(open(settings(&emulator)).await, &["cannot be reached"]);
}

#[tokio::test]
async fn only_a_missing_permission_to_ack_prevents_a_start() {
    let emulator = emulator().await;
    for fault in [
        EmulatorFault::Throttled(None),
        EmulatorFault::Internal,
        EmulatorFault::Garbage(GarbageBody::OtherShape),
    ] {
        emulator.inject(EmulatorEndpoint::Ack, fault, 1);
        assert_eq!(open(settings(&emulator)).await.unwrap(), [], "{fault:?}");
        assert_eq!(emulator.faults_left(EmulatorEndpoint::Ack), 0, "the ack permission was checked");
    }
    emulator.inject(EmulatorEndpoint::Ack, EmulatorFault::Forbidden, 1);
    assert_error_names(open(settings(&emulator)).await, &["does not accept the token"]);
}

#[tokio::test]
async fn a_queue_that_would_lose_messages_causes_warnings() {
    let (_emulator, result) = open_with(|start| {
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
