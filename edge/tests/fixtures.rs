//! The fixture table, through `accept`.

#![cfg(test)]

#[path = "../fixtures/runner.rs"]
mod runner;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{self, Future};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_edge::{Body, BodyError, Host, QueueError, Request, SettingError, Settings, accept};
use runner::{Answer, Case, Edge, Queue};

/// Every future of a case is ready when it is polled, or has no one to wake it.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the edge waits for something that will not come"),
    }
}

struct Native {
    settings: Result<Settings, SettingError>,
    queue: Queue,
    messages: RefCell<Vec<String>>,
}

impl Host for Native {
    async fn enqueue(&self, message: &str) -> Result<(), QueueError> {
        match self.queue {
            Queue::Ok => {
                self.messages.borrow_mut().push(message.to_owned());
                Ok(())
            }
            Queue::Full => Err(QueueError::Full),
            Queue::TooLarge => Err(QueueError::TooLarge),
            Queue::TimedOut => Err(QueueError::TimedOut),
            Queue::Unavailable => Err(QueueError::Unavailable),
            Queue::Hangs => future::pending().await,
        }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(1_790_000_000_000)
    }

    async fn sleep(&self, duration: Duration) {
        assert_eq!(duration, Duration::from_secs(2), "the default bound on the wait");
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        [0xa5; N]
    }

    async fn settings(&self) -> Result<&Settings, SettingError> {
        self.settings.as_ref().map_err(|error| *error)
    }
}

struct Chunks<'a>(std::slice::Chunks<'a, u8>);

impl Body for Chunks<'_> {
    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]>>, BodyError> {
        Ok(self.0.next())
    }
}

impl Edge for Native {
    async fn prepare(&mut self, variables: &BTreeMap<String, String>, queue: Queue) {
        self.settings = Settings::read(|name| variables.get(name).cloned());
        self.queue = queue;
    }

    async fn send(&mut self, case: &Case) -> (Answer, Vec<String>) {
        let body = case.body.as_deref().unwrap_or_default();
        let length = body.len().to_string();
        let mut headers: Vec<_> =
            case.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        if case.body.is_some() && !case.chunked {
            headers.push(("Content-Length", length.as_bytes()));
        }
        let request = Request { method: &case.method, path: &case.path, headers: &headers };
        let response = accept(request, Chunks(body.chunks(1000)), self).await;
        let answer = Answer {
            status: response.status(),
            headers: response.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            // The server's part.
            body: if case.method == "HEAD" { Vec::new() } else { response.into_body().as_bytes().to_vec() },
        };
        (answer, self.messages.take())
    }
}

#[test]
fn every_case_of_the_table_holds_natively() {
    let mut edge =
        Native { settings: Ok(Settings::default()), queue: Queue::Ok, messages: RefCell::default() };
    ready(runner::run(&mut edge));
}
