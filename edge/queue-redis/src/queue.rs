//! Appending a message: which connection, and what is tried again.

use std::cell::RefCell;
use std::time::Duration;

use chargegate_queue::{Engine, SettingError, within};

use crate::command::{self, Command, Reply};
use crate::error::Cause;
use crate::{QueueError, Settings};

/// A server, as the host lets it be reached.
pub trait Server {
    /// An open connection; closed when dropped.
    type Connection: Connection;

    /// Dials.
    ///
    /// # Errors
    /// What the host says.
    fn connect(&self, url: &str) -> impl Future<Output = Result<Self::Connection, String>>;

    /// Ready after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// An open connection.
pub trait Connection {
    /// Executes one command.
    ///
    /// # Errors
    /// What the host says: the server refused the command, or the connection broke.
    fn execute(&self, command: Command) -> impl Future<Output = Result<Vec<Reply>, String>>;
}

/// The queue of one instance of the component, with the connections it keeps.
///
/// A message has a connection to itself while it is appended: no message waits behind another's sync, and whatever is
/// given up halfway is given up together with its connection.
#[derive(Debug)]
pub struct Queue<S: Server> {
    server: S,
    idle: RefCell<Vec<S::Connection>>,
}

impl<S: Server> Queue<S> {
    /// A queue without connections.
    pub const fn new(server: S) -> Self {
        Self { server, idle: RefCell::new(Vec::new()) }
    }

    async fn confirm(&self, settings: &Settings, append: Command) -> Result<(), QueueError> {
        let (connection, appended) = self.append(settings, append).await?;
        let confirmed = match (appended, settings.waitaof) {
            (Ok(()), Some(patience)) => {
                let answer = execute(&connection, Command::wait_for_sync(patience)).await;
                answer.and_then(|answer| command::synced(&answer))
            }
            (appended, _) => appended,
        };
        // That the stream is full or the disk slow is no fault of the connection.
        if !matches!(confirmed, Err(QueueError::Unavailable(_))) {
            self.idle.borrow_mut().push(connection);
        }
        confirmed
    }

    /// Appends over a connection that was kept, or else over a new one.
    async fn append(&self, settings: &Settings, append: Command) -> Result<Appended<S>, QueueError> {
        let kept = self.idle.borrow_mut().pop();
        if let Some(connection) = kept {
            let appended = appended(&connection, append.clone()).await;
            if !matches!(appended, Err(QueueError::Unavailable(_))) {
                return Ok((connection, appended));
            }
            // The server may have closed the connection long ago, or have become a replica. If the message was appended
            // all the same, it comes twice under one request id, and is decided once.
            self.forget();
        }
        let connection = self.server.connect(&settings.url).await;
        let connection = connection.map_err(|text| QueueError::Unavailable(Cause::Connect(text)))?;
        let appended = appended(&connection, append).await;
        Ok((connection, appended))
    }

    /// Closes the connections that wait: what befell one has most likely befallen the others.
    fn forget(&self) {
        self.idle.borrow_mut().clear();
    }
}

impl<S: Server> Engine for Queue<S> {
    const NAME: &'static str = "queue-redis";
    const VARIABLES: &'static [&'static str] = &Settings::VARIABLES;
    type Settings = Settings;
    type Cause = Cause;

    fn settings(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingError> {
        Settings::read(lookup)
    }

    /// Appends `message` to its stream, and waits for the sync to disk if the settings say so.
    async fn enqueue(&self, settings: &Settings, message: &str) -> Result<(), QueueError> {
        let append = Command::append(settings, message)?;
        let confirmed = within(self.confirm(settings, append), self.server.sleep(settings.timeout)).await;
        confirmed.unwrap_or_else(|| {
            self.forget();
            Err(QueueError::TimedOut)
        })
    }
}

/// The connection that was used, and what became of the message.
type Appended<S> = (<S as Server>::Connection, Result<(), QueueError>);

async fn appended(connection: &impl Connection, append: Command) -> Result<(), QueueError> {
    execute(connection, append).await.and_then(|answer| command::appended(&answer))
}

async fn execute(connection: &impl Connection, command: Command) -> Result<Vec<Reply>, QueueError> {
    let answer = connection.execute(command).await;
    answer.map_err(|text| QueueError::Unavailable(Cause::of_command(&text)))
}

#[cfg(test)]
mod tests;
