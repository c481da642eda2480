//! Connections that come back, and commands that end.

use std::time::Duration;

use chargegate_core::full_jitter;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult,
    ScriptInvocation,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::url::RedisUrl;
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::metric;

/// The longest a command takes, a connection included.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that connecting and introducing oneself takes.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
const RECONNECT_BASE: Duration = Duration::from_millis(50);
const RECONNECT_CAP: Duration = Duration::from_secs(1);

/// Failure of a command, which may have been executed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The server said so. What it says is kept only where it cannot repeat what it was sent.
    #[error("the server refused: {code} {detail}")]
    Refused {
        /// The first word of its answer.
        code: String,
        /// The rest.
        detail: String,
    },
    /// The connection could not be made, or broke.
    #[error("the connection failed")]
    Broken(#[source] RedisError),
    /// What came back is not what the command gives. The client's error repeats it, a message's body included, and is
    /// not kept.
    #[error("the answer cannot be understood")]
    Unreadable,
    /// Nothing came back in time.
    #[error("no answer in time")]
    TimedOut,
}

impl CommandError {
    /// Returns whether the server refused with this code.
    pub(super) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == expected)
    }

    /// Returns whether a new connection may help.
    fn breaks(&self) -> bool {
        match self {
            // A replica now, or someone changed the passwords: the address may lead elsewhere.
            Self::Refused { code, .. } => matches!(code.as_str(), "READONLY" | "NOAUTH" | "MASTERDOWN"),
            Self::Broken(_) | Self::Unreadable | Self::TimedOut => true,
        }
    }
}

impl From<RedisError> for CommandError {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => {
                return Self::Refused { code: "WRONGPASS".to_owned(), detail: String::new() };
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => return Self::Unreadable,
            _ => {}
        }
        let said = error.clone().into_server_errors().and_then(|errors| {
            let (_, said) = errors.first()?;
            Some((said.code().to_owned(), said.details().unwrap_or_default().to_owned()))
        });
        match said {
            // "unknown command" goes on with the arguments, which may hold a message.
            Some((code, _)) if code == "ERR" => Self::Refused { code, detail: String::new() },
            Some((code, detail)) => Self::Refused { code, detail },
            None => Self::Broken(error),
        }
    }
}

impl From<CommandError> for QueueError {
    fn from(error: CommandError) -> Self {
        if error.is("OOM") { Self::Full } else { Self::Unavailable(Box::new(error)) }
    }
}

/// A connection that is made again, after jittered waits, when it breaks; callers share it.
#[derive(Debug)]
pub(super) struct RedisConnection {
    client: Client,
    config: AsyncConnectionConfig,
    deadline: Duration,
    effects: Effects,
    slot: Mutex<ConnectionSlot>,
}

#[derive(Debug, Default)]
struct ConnectionSlot {
    connection: Option<MultiplexedConnection>,
    /// Number of connections so far.
    generation: u64,
    /// Attempts to connect that failed since the last one that did not.
    failures: u32,
    not_before: Option<Instant>,
}

impl RedisConnection {
    /// A link whose commands block on the server for at most `block`; nothing is connected yet.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub(super) fn new(url: &RedisUrl, block: Duration, effects: Effects) -> RedisResult<Self> {
        if url.is_tls() {
            // The client takes the process's provider. One that is there already serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(CONNECT_TIMEOUT + block))
            .set_pipeline_buffer_size(1_024);
        let client = Client::open(url.connection_info())?;
        Ok(Self { client, config, deadline: COMMAND_TIMEOUT + block, effects, slot: Mutex::default() })
    }

    /// Connects if disconnected, and returns the number of the connection.
    pub(super) async fn connect(&self) -> Result<u64, CommandError> {
        let connecting = async { self.connection().await.map(|(generation, _)| generation) };
        tokio::time::timeout(self.deadline, connecting).await.unwrap_or(Err(CommandError::TimedOut))
    }

    /// Does a command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CommandError> {
        self.attempt(async |connection| command.query_async(connection).await).await
    }

    /// Does several commands at once; all or none where the pipeline says so.
    pub(super) async fn run_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, CommandError> {
        self.attempt(async |connection| commands.query_async(connection).await).await
    }

    /// Runs a script.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, CommandError> {
        self.attempt(async |connection| script.invoke_async(connection).await).await
    }

    async fn attempt<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, CommandError> {
        let attempt = async {
            let (generation, mut connection) = self.connection().await?;
            let result = command(&mut connection).await.map_err(CommandError::from);
            if result.as_ref().is_err_and(CommandError::breaks) {
                self.forget(generation).await;
            }
            result
        };
        tokio::time::timeout(self.deadline, attempt).await.unwrap_or(Err(CommandError::TimedOut))
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), CommandError> {
        // One caller connects, the others wait for it.
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.generation, connection.clone()));
        }
        if let Some(not_before) = slot.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        match self.client.get_multiplexed_async_connection_with_config(&self.config).await {
            Ok(connection) => {
                if slot.generation > 0 {
                    metric::queue_reconnected();
                }
                let generation = slot.generation.saturating_add(1);
                *slot = ConnectionSlot {
                    connection: Some(connection.clone()),
                    generation,
                    ..ConnectionSlot::default()
                };
                Ok((generation, connection))
            }
            Err(error) => {
                let wait =
                    full_jitter(RECONNECT_BASE, slot.failures, RECONNECT_CAP, self.effects.random.jitter());
                slot.not_before = Some(Instant::now() + wait);
                slot.failures = slot.failures.saturating_add(1);
                Err(error.into())
            }
        }
    }

    /// Gives up a connection, unless there is a newer one already.
    async fn forget(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        if slot.generation == generation {
            slot.connection = None;
        }
    }
}
