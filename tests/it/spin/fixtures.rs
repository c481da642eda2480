//! The fixture table, through the composed component and a real server.

use std::collections::BTreeMap;

use tokio::net::TcpListener;

use super::host::Spin;
use super::support::Streams;
use crate::edge_fixtures::request;
use crate::edge_fixtures::runner::{self, Answer, Case, Edge, Queue};
use crate::host::support::bounded;

/// One application for each set of variables.
struct Composed {
    applications: BTreeMap<BTreeMap<String, String>, Spin>,
    variables: BTreeMap<String, String>,
    streams: Streams,
    hung: TcpListener,
}

impl Edge for Composed {
    fn plays(&self, case: &Case) -> bool {
        // No message of the edge is too large for this queue.
        case.queue != Queue::TooLarge
    }

    async fn prepare(&mut self, variables: &BTreeMap<String, String>, queue: Queue) {
        let hung = format!("redis://{}", self.hung.local_addr().unwrap());
        let url = self.streams.url.clone();
        let own: &[(&str, &str)] = match queue {
            Queue::Ok => &[("queue_url", &url)],
            Queue::Full => &[("queue_url", &url), ("queue_limit", "1")],
            Queue::TooLarge | Queue::Unavailable => &[("queue_url", "redis://127.0.0.1:1")],
            Queue::TimedOut => &[("queue_url", &hung), ("queue_timeout_ms", "100")],
            Queue::Hangs => &[("queue_url", &hung), ("queue_timeout_ms", "60000")],
        };
        let given = variables
            .iter()
            .map(|(name, value)| (name.trim_start_matches("CHARGEGATE_").to_lowercase(), value.clone()));
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let prefix = ("queue_prefix".to_owned(), self.streams.prefix.clone());
        self.variables = given.chain(own).chain([prefix]).collect();
        if queue == Queue::Full {
            let () = self.streams.command(&format!("XADD {}:{{0}} * m first", self.streams.prefix));
        }
        if !self.applications.contains_key(&self.variables) {
            self.applications.insert(self.variables.clone(), Spin::up_with(&self.variables).await);
        }
    }

    async fn send(&mut self, case: &Case) -> (Answer, Vec<String>) {
        let mut client = self.applications[&self.variables].connect().await;
        client.send(&request(case)).await;
        let reply = client.reply(case.method == "HEAD").await.expect("an answer");
        let mut messages = self.streams.messages(0);
        self.streams.clear();
        messages.retain(|message| message != "first");
        (Answer { status: reply.status, headers: reply.headers, body: reply.body }, messages)
    }
}

#[test]
fn every_case_of_the_table_holds_in_the_composed_component() {
    bounded(async {
        let mut composed = Composed {
            applications: BTreeMap::new(),
            variables: BTreeMap::new(),
            streams: Streams::new(),
            hung: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        runner::run(&mut composed).await;
    });
}
