//! The worker's queue on the emulator of Cloudflare Queues, which enforces Cloudflare's limits.

use chargegate_cloudflare_emulator::EmulatorEndpoint::BrokerMessage;
use chargegate_cloudflare_emulator::{
    CloudflareEmulator, EmulatorFault, EmulatorSettings, MessageContentType, QUEUE_HEADER,
};
use chargegate_servers::{QueueBroker, WorkerBinding};

use super::support::{LONG_TIMEOUT, TestWorker};
use crate::host::support::bounded;
use crate::posts::{assert_accepted, assert_refused, post};

/// Starts the edge with the emulator's queue `jobs`.
fn edge(emulator: &CloudflareEmulator) -> TestWorker {
    let headers = vec![(QUEUE_HEADER.to_owned(), "jobs".to_owned())];
    let queue = WorkerBinding::Queue(QueueBroker { address: emulator.address(), headers });
    TestWorker::edge_with_timeout(LONG_TIMEOUT, queue)
}

fn jobs() -> (EmulatorSettings, String) {
    let settings = EmulatorSettings::sample();
    let jobs = settings.queues.iter().find(|queue| queue.name == "jobs").unwrap().id.clone();
    (settings, jobs)
}

#[test]
fn an_acknowledged_request_is_a_text_message_on_its_queue() {
    bounded(async {
        let (settings, jobs) = jobs();
        let emulator = CloudflareEmulator::start(settings).await.unwrap();
        let reply = post(&mut edge(&emulator).connect().await).await;
        assert_accepted(&reply);
        let [message] = &emulator.messages(&jobs)[..] else { panic!("one message") };
        assert_eq!(message.content_type(), MessageContentType::Text);
        let message: serde_json::Value = serde_json::from_slice(message.body()).unwrap();
        assert_eq!(message["id"].as_str(), reply.header("x-request-id"));
    });
}

#[test]
fn a_queue_at_its_limits_is_full() {
    bounded(async {
        let (settings, jobs) = jobs();
        let emulator = CloudflareEmulator::start(settings).await.unwrap();
        let edge = edge(&emulator);
        let mut client = edge.connect().await;
        assert_accepted(&post(&mut client).await);
        emulator.inject(BrokerMessage, EmulatorFault::Throttled(None), 1);
        assert_refused(&post(&mut client).await, "the queue is full");
        assert!(emulator.configure(&jobs, |queue| queue.backlog_bytes = 300));
        assert_refused(&post(&mut client).await, "the queue is full");
        assert_eq!(emulator.messages(&jobs).len(), 1);
    });
}

#[test]
fn a_queue_is_used_again_after_an_outage_and_after_a_lost_response() {
    bounded(async {
        let (settings, jobs) = jobs();
        let emulator = CloudflareEmulator::start(settings).await.unwrap();
        let edge = edge(&emulator);
        let mut client = edge.connect().await;
        emulator.stop_listening().await;
        assert_refused(&post(&mut client).await, "the queue is unavailable");
        emulator.listen_again().await.unwrap();
        assert_accepted(&post(&mut client).await);
        emulator.inject(BrokerMessage, EmulatorFault::CutAfter, 1);
        assert_refused(&post(&mut client).await, "the queue is unavailable");
        assert_accepted(&post(&mut client).await);
        assert_eq!(emulator.messages(&jobs).len(), 3, "two acknowledged, one not");
    });
}
