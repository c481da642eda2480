//! Appending a message: the choice of a connection, and the retry.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use chargegate_core::EnqueueError;
use chargegate_queue::{QueueEngine, QueueEngineError as _};
use futures_util::future::{Either, select};

use crate::command::{self, RedisCommand, RedisReply};
use crate::{RedisEnqueueError, RedisQueueSettings};

/// Connections to a server, as the host provides them.
pub trait RedisConnector {
    /// An open connection; closed when dropped.
    type Connection: RedisConnection;

    /// Opens a connection.
    ///
    /// # Errors
    /// The host's text.
    fn connect(&self, url: &str) -> impl Future<Output = Result<Self::Connection, String>>;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// An open connection.
pub trait RedisConnection {
    /// Executes one command.
    ///
    /// # Errors
    /// The host's text: the server refused the command, or the connection broke.
    fn execute(&self, command: RedisCommand) -> impl Future<Output = Result<Vec<RedisReply>, String>>;
}

/// The queue of one instance of the component, with the connections it keeps.
///
/// A message has a connection to itself while it is appended. So no message waits behind another's sync, and an
/// exchange that is cancelled halfway is cancelled together with its connection.
#[derive(Debug)]
pub struct RedisStreamQueue<C: RedisConnector> {
    connector: C,
    idle: RefCell<Vec<C::Connection>>,
}

impl<C: RedisConnector> RedisStreamQueue<C> {
    /// Creates a queue without connections.
    pub const fn new(connector: C) -> Self {
        Self { connector, idle: RefCell::new(Vec::new()) }
    }

    /// Appends the message, and waits for the sync to disk if the settings require it.
    async fn append_and_sync(
        &self,
        settings: &RedisQueueSettings,
        append: RedisCommand,
    ) -> Result<(), RedisEnqueueError> {
        let (connection, appended) = self.append(settings, append).await?;
        let confirmed = match (appended, settings.waitaof) {
            (Ok(()), Some(timeout)) => {
                let replies = execute(&connection, RedisCommand::wait_for_sync(timeout)).await;
                replies.and_then(|replies| command::read_sync_reply(&replies))
            }
            (appended, _) => appended,
        };
        // A full stream or a slow disk is not a fault of the connection.
        if !is_unavailable(&confirmed) {
            self.idle.borrow_mut().push(connection);
        }
        confirmed
    }

    /// Appends over an idle connection, or over a new one if there is none or it fails.
    ///
    /// Returns the connection, and the outcome for the message.
    async fn append(
        &self,
        settings: &RedisQueueSettings,
        append: RedisCommand,
    ) -> Result<(C::Connection, Result<(), RedisEnqueueError>), RedisEnqueueError> {
        let idle = self.idle.borrow_mut().pop();
        if let Some(connection) = idle {
            let appended = append_over(&connection, append.clone()).await;
            if !is_unavailable(&appended) {
                return Ok((connection, appended));
            }
            // The server may have closed the connection long ago, or may have become a replica. If the message was
            // appended nevertheless, it arrives twice under one request id, and is decided once.
            self.close_idle();
        }
        let connection = self.connector.connect(&settings.url).await.map_err(RedisEnqueueError::Connect)?;
        let appended = append_over(&connection, append).await;
        Ok((connection, appended))
    }

    /// Closes the idle connections: a failure of one has most likely affected the others.
    fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }
}

impl<C: RedisConnector> QueueEngine for RedisStreamQueue<C> {
    const NAME: &'static str = "queue-redis";
    type Settings = RedisQueueSettings;
    type Error = RedisEnqueueError;

    async fn enqueue(&self, settings: &RedisQueueSettings, message: &str) -> Result<(), RedisEnqueueError> {
        let append = RedisCommand::append(settings, message)?;
        let confirmed = pin!(self.append_and_sync(settings, append));
        match select(confirmed, pin!(self.connector.sleep(settings.timeout))).await {
            Either::Left((confirmed, _)) => confirmed,
            Either::Right(_) => {
                self.close_idle();
                Err(RedisEnqueueError::TimedOut)
            }
        }
    }
}

fn is_unavailable(outcome: &Result<(), RedisEnqueueError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == EnqueueError::Unavailable)
}

async fn append_over(
    connection: &impl RedisConnection,
    append: RedisCommand,
) -> Result<(), RedisEnqueueError> {
    execute(connection, append).await.and_then(|replies| command::read_append_reply(&replies))
}

async fn execute(
    connection: &impl RedisConnection,
    command: RedisCommand,
) -> Result<Vec<RedisReply>, RedisEnqueueError> {
    let replies = connection.execute(command).await;
    replies.map_err(|text| RedisEnqueueError::from_command_text(&text))
}

#[cfg(test)]
mod tests;
