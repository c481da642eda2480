//! The fixture table, run on the worker in workerd; its responses are compared with those of the edge without a host.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use chargegate_servers::WorkerBinding;

use super::support::{BrokerVerdict, FakeBroker, LONG_TIMEOUT, TIMEOUT_VARIABLE, TestWorker, queue};
use crate::edge_fixtures::request;
use crate::edge_fixtures::runner::{self, EdgeUnderTest, FixtureCase, FixtureResponse, QueueBehavior};
use crate::host::support::bounded;

#[path = "../../../edge/fixtures/native.rs"]
mod native;

/// The edge in one workerd per set of variables.
struct WorkerdEdge {
    running: BTreeMap<BTreeMap<String, String>, TestWorker>,
    variables: BTreeMap<String, String>,
    broker: SocketAddr,
    peer: Arc<FakeBroker>,
    native: native::NativeEdge,
}

impl EdgeUnderTest for WorkerdEdge {
    fn supports(&self, case: &FixtureCase) -> bool {
        // The runtime itself refuses an unknown method with 501.
        case.method != "BREW"
    }

    async fn prepare(&mut self, variables: &BTreeMap<String, String>, queue: QueueBehavior) {
        self.peer.set_verdict(match queue {
            QueueBehavior::Ok => BrokerVerdict::Accepts,
            QueueBehavior::Full => BrokerVerdict::Refuses(429, Some(10_251)),
            QueueBehavior::TooLarge => BrokerVerdict::Refuses(413, Some(10_204)),
            QueueBehavior::Unavailable => BrokerVerdict::Refuses(500, None),
            // Cloudflare has no code for a timeout.
            QueueBehavior::TimedOut | QueueBehavior::Hangs => BrokerVerdict::Hangs,
        });
        self.native.prepare(variables, queue).await;
        self.variables.clone_from(variables);
        if !matches!(queue, QueueBehavior::TimedOut | QueueBehavior::Hangs) {
            self.variables.entry(TIMEOUT_VARIABLE.to_owned()).or_insert_with(|| LONG_TIMEOUT.to_owned());
        }
        if !self.running.contains_key(&self.variables) {
            let worker = start(&self.variables, self.broker);
            self.running.insert(self.variables.clone(), worker);
        }
    }

    async fn send(&mut self, case: &FixtureCase) -> (FixtureResponse, Vec<String>) {
        let mut client = self.running[&self.variables].connect().await;
        client.send(&request(case)).await;
        let reply = client.reply(case.method == "HEAD").await.expect("an answer");
        let answer = FixtureResponse { status: reply.status, headers: reply.headers, body: reply.body };
        let (native, _) = self.native.send(case).await;
        assert_eq!(comparable(&answer), comparable(&native), "{}", case.name);
        (answer, self.peer.messages())
    }
}

fn start(variables: &BTreeMap<String, String>, broker: SocketAddr) -> TestWorker {
    let variables = variables.iter().map(|(name, value)| (name.as_str(), WorkerBinding::Text(value.clone())));
    TestWorker::start("CHARGEGATE_EDGE_WORKER", variables.chain([("JOBS", queue(broker))]))
}

/// Returns a response without its varying parts: the order of fields, and an id based on time.
fn comparable(answer: &FixtureResponse) -> (u16, BTreeMap<&str, &str>, &[u8]) {
    let fields = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let fields = fields.map(|(name, value)| {
        let by_time = name == "x-request-id" && value.get(14..15) == Some("7");
        (name, if by_time { "by time" } else { value })
    });
    (answer.status, fields.collect(), &answer.body)
}

#[test]
fn every_fixture_case_holds_in_workerd_with_the_same_bytes() {
    bounded(async {
        let (broker, peer) = FakeBroker::start().await;
        let native = native::NativeEdge::new();
        let mut workers =
            WorkerdEdge { running: BTreeMap::new(), variables: BTreeMap::new(), broker, peer, native };
        runner::run(&mut workers).await;
        assert_eq!(workers.peer.formats().keys().collect::<Vec<_>>(), ["text"]);
    });
}
