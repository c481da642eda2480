//! The fixture table, through the component in wasmtime.

#[path = "../../edge/fixtures/runner.rs"]
pub(crate) mod runner;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chargegate_core::EnqueueError;
use chargegate_host::HostLimits;
use runner::{EdgeUnderTest, FixtureCase, FixtureResponse, QueueBehavior};

use crate::host::support::{ScriptedProducer, TestHost, bounded, settings};

/// The edge component in one host per set of variables.
#[derive(Default)]
struct ComponentEdge {
    hosts: BTreeMap<BTreeMap<String, String>, TestHost>,
    variables: BTreeMap<String, String>,
    queue: Arc<ScriptedProducer>,
}

impl EdgeUnderTest for ComponentEdge {
    async fn prepare(&mut self, variables: &BTreeMap<String, String>, queue: QueueBehavior) {
        *self.queue.answer.lock() = match queue {
            QueueBehavior::Ok => Some(Ok(())),
            QueueBehavior::Full => Some(Err(EnqueueError::Full)),
            QueueBehavior::TooLarge => Some(Err(EnqueueError::TooLarge)),
            QueueBehavior::TimedOut => Some(Err(EnqueueError::TimedOut)),
            QueueBehavior::Unavailable => Some(Err(EnqueueError::Unavailable)),
            QueueBehavior::Hangs => None,
        };
        self.variables.clone_from(variables);
        if !self.hosts.contains_key(variables) {
            let mut settings = settings("CHARGEGATE_EDGE_COMPONENT", HostLimits::DEFAULT);
            settings.variables = variables.clone().into_iter().collect();
            let host = TestHost::start(settings, Arc::<ScriptedProducer>::clone(&self.queue)).await;
            self.hosts.insert(variables.clone(), host);
        }
    }

    async fn send(&mut self, case: &FixtureCase) -> (FixtureResponse, Vec<String>) {
        let mut client = self.hosts[&self.variables].connect().await;
        client.send(&request(case)).await;
        let reply = client.reply(case.method == "HEAD").await.expect("an answer");
        let answer = FixtureResponse { status: reply.status, headers: reply.headers, body: reply.body };
        (answer, std::mem::take(&mut self.queue.messages.lock()))
    }
}

/// Returns the bytes of a case's request.
pub(crate) fn request(case: &FixtureCase) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: test\r\n", case.method, case.path);
    for (name, value) in &case.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    let body = case.body.as_deref().unwrap_or_default();
    if case.chunked {
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        let chunks = body.chunks(1000).flat_map(|chunk| {
            let size = format!("{:x}\r\n", chunk.len()).into_bytes();
            [size, chunk.to_vec(), b"\r\n".to_vec()].concat()
        });
        return head.into_bytes().into_iter().chain(chunks).chain(*b"0\r\n\r\n").collect();
    }
    if case.body.is_some() {
        write!(head, "content-length: {}\r\n", body.len()).unwrap();
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

#[test]
fn every_fixture_case_holds_in_the_component() {
    bounded(async { runner::run(&mut ComponentEdge::default()).await });
}
