//! A server with scripted replies.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::{RedisQueue, RedisSettings};
use chargegate_storage::Effects;

const INFO: &str =
    "redis_version:7.0.0\r\nredis_mode:standalone\r\nrole:master\r\nmaxmemory:0\r\naof_enabled:0\r\n";

/// Reply to a command.
pub(super) enum FakeReply {
    /// The reply of a healthy, empty server.
    Default,
    /// These bytes.
    Bytes(String),
    /// No reply.
    Never,
}

type ReplyScript = dyn Fn(&[String]) -> FakeReply + Send + Sync;

/// A server that runs until it is dropped.
pub(super) struct FakeRedisServer {
    port: u16,
    _serving: AbortOnDropHandle<()>,
}

impl FakeRedisServer {
    pub(super) async fn start(script: impl Fn(&[String]) -> FakeReply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Arc<ReplyScript> = Arc::new(script);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&script)));
            }
        });
        Self { port, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Opens a queue on this server.
    pub(super) async fn open(&self, effects: Effects) -> RedisQueue {
        let url = format!("redis://127.0.0.1:{}", self.port).parse().unwrap();
        RedisQueue::open(RedisSettings::new(url), effects).await.unwrap().0
    }
}

async fn serve(connection: TcpStream, script: Arc<ReplyScript>) {
    let mut connection = BufReader::new(connection);
    while let Some(command) = command(&mut connection).await {
        let reply = match script(&command) {
            FakeReply::Default => default_reply(&command),
            FakeReply::Bytes(bytes) => bytes,
            FakeReply::Never => continue,
        };
        if connection.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads the words of the next command: an array of strings, each after its length.
async fn command(connection: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(connection).await? {
        let mut word = vec![0; number(connection).await? + 2];
        connection.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Some(words)
}

async fn number(connection: &mut (impl AsyncBufRead + Unpin)) -> Option<usize> {
    let mut line = String::new();
    connection.read_line(&mut line).await.ok()?;
    line.trim_end().get(1..)?.parse().ok()
}

fn default_reply(command: &[String]) -> String {
    match command[0].as_str() {
        "INFO" => format!("${}\r\n{INFO}\r\n", INFO.len()),
        "TYPE" => "+none\r\n".to_owned(),
        "EXISTS" | "EVALSHA" => ":0\r\n".to_owned(),
        "PEXPIRE" | "DEL" => ":1\r\n".to_owned(),
        // With a range it lists entries, without one it sums them up.
        "XPENDING" if command.len() > 3 => "*0\r\n".to_owned(),
        "XPENDING" => "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n".to_owned(),
        "XREADGROUP" => "*-1\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    }
}
