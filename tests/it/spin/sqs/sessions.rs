//! Accepted requests.

use chargegate_core::SessionMessage;
use chargegate_queue_sqs::message_group;

use super::super::support::{assert_accepted, post};
use super::{endpoint, queue, up};
use crate::host::support::bounded;

#[test]
fn an_acknowledged_message_is_on_its_queue_byte_for_byte_and_in_its_group() {
    bounded(async {
        let queue = queue();
        let spin = up(&endpoint(), &queue.path(), &[]).await;
        let mut client = spin.connect().await;
        let mut ids = Vec::new();
        for _ in 0..12 {
            let reply = post(&mut client).await;
            assert_accepted(&reply);
            ids.push(reply.header("x-request-id").unwrap().to_owned());
        }
        let mut found = Vec::new();
        for stored in queue.receive_all().unwrap() {
            let message = SessionMessage::decode(stored.body.as_bytes()).unwrap();
            assert_eq!(message.encode(), stored.body);
            assert_eq!(stored.group, Some(message_group(&message.callback_url)));
            found.push(message.id.to_string());
        }
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids);
        assert_eq!(spin.instances(), 1);
    });
}

#[test]
fn concurrent_requests_are_all_confirmed() {
    bounded(async {
        let queue = queue();
        let spin = up(&endpoint(), &queue.path(), &[]).await;
        let mut sent = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let mut client = spin.connect().await;
            sent.spawn(async move { post(&mut client).await.status });
        }
        assert_eq!(sent.join_all().await, [202; 16]);
        assert_eq!(queue.receive_all().unwrap().len(), 16);
    });
}
