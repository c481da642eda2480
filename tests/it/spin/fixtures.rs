//! The fixture table, run on the composed component and a real server.

use std::collections::BTreeMap;

use tokio::net::TcpListener;

use super::compose::SpinQueue;
use super::host::SpinHost;
use super::sqs;
use super::support::TestStream;
use crate::edge_fixtures::request;
use crate::edge_fixtures::runner::{self, EdgeUnderTest, FixtureCase, FixtureResponse, QueueBehavior};
use crate::host::support::bounded;

/// Server of the queue under test.
trait FixtureServer {
    const ENGINE: SpinQueue;
    /// Scheme of the server's URL.
    const SCHEME: &'static str;

    /// Returns the variables that name the queue, except `queue_url`.
    fn variables(&self) -> Vec<(&'static str, String)>;

    /// Returns the server's URL.
    fn url(&self) -> String;

    /// Fills the queue and returns the variables that make it full; `None` if the queue has no limit.
    fn fill(&mut self) -> Option<Vec<(&'static str, String)>>;

    /// Removes and returns all messages of the edge.
    async fn take(&mut self) -> Vec<String>;
}

impl FixtureServer for TestStream {
    const ENGINE: SpinQueue = SpinQueue::Redis;
    const SCHEME: &'static str = "redis";

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("queue_prefix", self.prefix.clone())]
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn fill(&mut self) -> Option<Vec<(&'static str, String)>> {
        let () = self.command(&format!("XADD {{{}}}:messages * m first", self.prefix));
        Some(vec![("queue_limit", "1".into())])
    }

    async fn take(&mut self) -> Vec<String> {
        let mut messages = self.messages();
        self.clear();
        messages.retain(|message| message != "first");
        messages
    }
}

impl FixtureServer for sqs::MotoQueue {
    const ENGINE: SpinQueue = SpinQueue::Sqs;
    const SCHEME: &'static str = "http";

    fn variables(&self) -> Vec<(&'static str, String)> {
        sqs::variables(&self.path()).into()
    }

    fn url(&self) -> String {
        sqs::endpoint()
    }

    fn fill(&mut self) -> Option<Vec<(&'static str, String)>> {
        None
    }

    async fn take(&mut self) -> Vec<String> {
        sqs::MotoQueue::receive_all(self).unwrap().into_iter().map(|message| message.body).collect()
    }
}

/// The composed edge in one application per set of variables.
struct ComposedEdge<S> {
    applications: BTreeMap<BTreeMap<String, String>, SpinHost>,
    variables: BTreeMap<String, String>,
    server: S,
    hung: TcpListener,
}

impl<S: FixtureServer> EdgeUnderTest for ComposedEdge<S> {
    fn supports(&self, case: &FixtureCase) -> bool {
        match case.queue {
            // These queues accept every message size that the edge can produce.
            QueueBehavior::TooLarge => false,
            QueueBehavior::Full => matches!(S::ENGINE, SpinQueue::Redis),
            QueueBehavior::Ok
            | QueueBehavior::TimedOut
            | QueueBehavior::Unavailable
            | QueueBehavior::Hangs => true,
        }
    }

    async fn prepare(&mut self, variables: &BTreeMap<String, String>, queue: QueueBehavior) {
        let at = |address: &str| ("queue_url", format!("{}://{address}", S::SCHEME));
        let hung = self.hung.local_addr().unwrap().to_string();
        let mut own = match queue {
            QueueBehavior::Ok | QueueBehavior::TooLarge => {
                let patient = [("queue_timeout_ms", "20000".into()), ("enqueue_timeout_ms", "50000".into())];
                [("queue_url", self.server.url())].into_iter().chain(patient).collect()
            }
            QueueBehavior::Full => {
                let mut full = self.server.fill().expect("it knows a limit");
                full.push(("queue_url", self.server.url()));
                full
            }
            QueueBehavior::Unavailable => vec![at("127.0.0.1:1")],
            QueueBehavior::TimedOut => vec![at(&hung), ("queue_timeout_ms", "100".into())],
            QueueBehavior::Hangs => vec![at(&hung), ("queue_timeout_ms", "60000".into())],
        };
        own.extend(self.server.variables());
        let given = variables
            .iter()
            .map(|(name, value)| (name.trim_start_matches("CHARGEGATE_").to_lowercase(), value.clone()));
        self.variables = own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(given).collect();
        if !self.applications.contains_key(&self.variables) {
            let spin = SpinHost::up_with(S::ENGINE, &self.variables).await;
            self.applications.insert(self.variables.clone(), spin);
        }
    }

    async fn send(&mut self, case: &FixtureCase) -> (FixtureResponse, Vec<String>) {
        let mut client = self.applications[&self.variables].connect().await;
        client.send(&request(case)).await;
        let reply = client.reply(case.method == "HEAD").await.expect("an answer");
        let answer = FixtureResponse { status: reply.status, headers: reply.headers, body: reply.body };
        (answer, self.server.take().await)
    }
}

async fn run(server: impl FixtureServer) {
    let mut composed = ComposedEdge {
        applications: BTreeMap::new(),
        variables: BTreeMap::new(),
        server,
        hung: TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    runner::run(&mut composed).await;
}

#[test]
fn every_fixture_case_holds_with_a_queue_in_redis() {
    bounded(async { run(TestStream::new()).await });
}

#[test]
fn every_fixture_case_holds_with_a_queue_on_sqs() {
    bounded(async { run(sqs::queue()).await });
}
