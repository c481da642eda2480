//! Sending a message: one request, and a second one if the connection broke.

use std::pin::pin;
use std::time::Duration;

use chargegate_core::{MAX_MESSAGE_BYTES, UnixMillis};
use chargegate_queue::QueueEngine;
use futures_util::future::{Either, select};

use crate::request::send_message_body;
use crate::response::read_confirmation;
use crate::{SqsEnqueueError, SqsQueueSettings, SqsRequest, SqsResponse};

/// HTTP and clocks, as the host provides them.
pub trait SqsTransport {
    /// Makes one request.
    ///
    /// # Errors
    /// [`SqsTransportError`]: no complete response arrived.
    fn post(&self, request: SqsRequest) -> impl Future<Output = Result<SqsResponse, SqsTransportError>>;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Returns the time of this machine's clock.
    fn now(&self) -> UnixMillis;
}

/// The reason why no complete response arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqsTransportError {
    /// The response did not arrive in time.
    TimedOut,
    /// The connection ended halfway, or the response is not HTTP.
    Broken,
    /// Any other reason, in words for operators.
    Failed(&'static str),
}

/// The queue of one instance of the component.
#[derive(Debug)]
pub struct SqsQueue<T>(T);

impl<T: SqsTransport> SqsQueue<T> {
    /// Creates a queue that sends over `transport`.
    pub const fn new(transport: T) -> Self {
        Self(transport)
    }

    async fn send(&self, settings: &SqsQueueSettings, message: &str) -> Result<(), SqsEnqueueError> {
        let body = send_message_body(settings, message);
        let mut response = self.post(settings, &body).await;
        if response == Err(SqsTransportError::Broken) {
            // The server may have closed a connection that the host kept. If the message was sent nevertheless, it
            // arrives twice under one request id, and is decided once.
            response = self.post(settings, &body).await;
        }
        match response {
            Ok(response) => read_confirmation(&response, self.0.now()),
            Err(SqsTransportError::TimedOut) => Err(SqsEnqueueError::TimedOut),
            Err(SqsTransportError::Broken) => Err(SqsEnqueueError::NoResponse("the connection broke")),
            Err(SqsTransportError::Failed(reason)) => Err(SqsEnqueueError::NoResponse(reason)),
        }
    }

    async fn post(&self, settings: &SqsQueueSettings, body: &str) -> Result<SqsResponse, SqsTransportError> {
        self.0.post(SqsRequest::signed(settings, body, self.0.now())).await
    }
}

impl<T: SqsTransport> QueueEngine for SqsQueue<T> {
    const NAME: &'static str = "queue-sqs";
    type Settings = SqsQueueSettings;
    type Error = SqsEnqueueError;

    async fn enqueue(&self, settings: &SqsQueueSettings, message: &str) -> Result<(), SqsEnqueueError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(SqsEnqueueError::TooLarge);
        }
        match select(pin!(self.send(settings, message)), pin!(self.0.sleep(settings.timeout))).await {
            Either::Left((sent, _)) => sent,
            Either::Right(_) => Err(SqsEnqueueError::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests;
