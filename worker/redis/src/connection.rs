//! A connection that reconnects, and commands with a deadline.

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

/// Deadline of a command, including connecting.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// Deadline of connecting and authenticating.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Bounds of the waits between attempts to connect.
const RECONNECT_BASE: Duration = Duration::from_millis(50);
const RECONNECT_CAP: Duration = Duration::from_secs(1);

/// Failure of a command, which may have been executed all the same.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The server refused the command. Its text is kept only where it cannot repeat an argument.
    #[error("the server refused: {code} {detail}")]
    Refused {
        /// First word of the error.
        code: String,
        /// Rest of the error.
        detail: String,
    },
    /// The server is a cluster node that does not own the queue's hash slot.
    #[error("the cluster keeps the queue's keys on another node: {target}")]
    Redirected {
        /// Code of the reply, hash slot, and address of the node that owns it.
        target: String,
    },
    /// The connection could not be established, or broke.
    #[error("the connection failed")]
    Broken(#[source] RedisError),
    /// The reply is not one of the command. The client's error repeats it, including message bodies, and is dropped.
    #[error("the reply is malformed")]
    Unreadable,
    /// No reply came in time.
    #[error("no reply in time")]
    TimedOut,
}

impl CommandError {
    /// Returns whether the server refused with the code `expected`.
    pub(super) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == expected)
    }

    /// Returns whether a new connection may help.
    fn breaks(&self) -> bool {
        match self {
            // The server became a replica, or its passwords changed: the address may resolve to another server now.
            Self::Refused { code, .. } => matches!(code.as_str(), "READONLY" | "NOAUTH" | "MASTERDOWN"),
            Self::Redirected { .. } | Self::Broken(_) | Self::Unreadable | Self::TimedOut => true,
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
        let reply = error.clone().into_server_errors().and_then(|errors| {
            let (_, reply) = errors.first()?;
            Some((reply.code().to_owned(), reply.details().unwrap_or_default().to_owned()))
        });
        match reply {
            // "unknown command" is followed by the arguments, which may contain a message.
            Some((code, _)) if code == "ERR" => Self::Refused { code, detail: String::new() },
            Some((code, detail)) if matches!(code.as_str(), "MOVED" | "ASK") => {
                Self::Redirected { target: format!("{code} {detail}") }
            }
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

/// A shared connection that reconnects when it breaks, after jittered waits.
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
    /// Failed attempts to connect since the last success.
    failures: u32,
    not_before: Option<Instant>,
}

impl RedisConnection {
    /// Creates a connection whose commands block on the server for at most `block`; connects at the first command.
    ///
    /// # Errors
    /// The URL is not usable.
    pub(super) fn new(url: &RedisUrl, block: Duration, effects: Effects) -> RedisResult<Self> {
        if url.is_tls() {
            // The client uses the process's default provider. One that is already installed serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(CONNECT_TIMEOUT + block))
            .set_pipeline_buffer_size(1_024);
        let client = Client::open(url.connection_info())?;
        Ok(Self { client, config, deadline: COMMAND_TIMEOUT + block, effects, slot: Mutex::default() })
    }

    /// Connects if there is no connection; returns the number of the connection.
    pub(super) async fn connect(&self) -> Result<u64, CommandError> {
        let connecting = async { self.connection().await.map(|(generation, _)| generation) };
        tokio::time::timeout(self.deadline, connecting).await.unwrap_or(Err(CommandError::TimedOut))
    }

    /// Executes a command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CommandError> {
        self.attempt(async |connection| command.query_async(connection).await).await
    }

    /// Executes several commands in one round trip; all or none if the pipeline is atomic.
    pub(super) async fn run_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, CommandError> {
        self.attempt(async |connection| commands.query_async(connection).await).await
    }

    /// Executes a script.
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
        // One caller connects while the others wait.
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

    /// Drops the connection; the next command opens a new one.
    pub(super) async fn disconnect(&self) {
        self.slot.lock().await.connection = None;
    }

    /// Drops a connection, unless there is a newer one.
    async fn forget(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        if slot.generation == generation {
            slot.connection = None;
        }
    }
}
