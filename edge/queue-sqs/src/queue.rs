//! Sending a message: one request, and one more where the connection broke.

use std::time::Duration;

use chargegate_core::{MAX_MESSAGE_BYTES, UnixMillis};
use chargegate_queue::{Engine, SettingError, within};

use crate::answer::{self, Answer};
use crate::cause::Cause;
use crate::request::{self, Post};
use crate::{QueueError, Settings};

/// The service, as the host lets it be reached.
pub trait Service {
    /// Makes one request.
    ///
    /// # Errors
    /// [`NoAnswer`].
    fn post(&self, request: Post) -> impl Future<Output = Result<Answer, NoAnswer>>;

    /// Ready after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// The time by the clock of this machine.
    fn now(&self) -> UnixMillis;
}

/// Why no whole answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It took too long.
    TimedOut,
    /// The connection ended halfway, or what came is not HTTP.
    Broken,
    /// Anything else, in words for operators.
    Failed(&'static str),
}

/// The queue of one instance of the component.
#[derive(Debug)]
pub struct Queue<S>(S);

impl<S: Service> Queue<S> {
    /// The queue of `service`.
    pub const fn new(service: S) -> Self {
        Self(service)
    }

    async fn send(&self, settings: &Settings, message: &str) -> Result<(), QueueError> {
        let body = request::send_message(settings, message);
        let mut answer = self.post(settings, &body).await;
        if answer == Err(NoAnswer::Broken) {
            // The server may have closed a connection that the host kept. If the message was sent all the same, it comes
            // twice under one request id, and is decided once.
            answer = self.post(settings, &body).await;
        }
        match answer {
            Ok(answer) => answer::sent(&answer, self.0.now()),
            Err(NoAnswer::TimedOut) => Err(QueueError::TimedOut),
            Err(NoAnswer::Broken) => Err(QueueError::Unavailable(Cause::NoAnswer("it breaks off"))),
            Err(NoAnswer::Failed(text)) => Err(QueueError::Unavailable(Cause::NoAnswer(text))),
        }
    }

    async fn post(&self, settings: &Settings, body: &str) -> Result<Answer, NoAnswer> {
        self.0.post(Post::signed(settings, body, self.0.now())).await
    }
}

impl<S: Service> Engine for Queue<S> {
    const NAME: &'static str = "queue-sqs";
    const VARIABLES: &'static [&'static str] = &Settings::VARIABLES;
    type Settings = Settings;
    type Cause = Cause;

    fn settings(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingError> {
        Settings::read(lookup)
    }

    async fn enqueue(&self, settings: &Settings, message: &str) -> Result<(), QueueError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(QueueError::TooLarge);
        }
        let sent = within(self.send(settings, message), self.0.sleep(settings.timeout)).await;
        sent.unwrap_or(Err(QueueError::TimedOut))
    }
}

#[cfg(test)]
mod tests;
