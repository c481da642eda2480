//! A scripted SQS server.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Reaction of the server to a request.
#[derive(Clone, Debug)]
pub(super) enum SqsBehavior {
    /// Responds and closes the connection.
    Answers(String),
    /// Sends this beginning and hangs.
    Begins(&'static str),
    /// Closes the connection.
    Ends,
}

/// Returns a response with a status, a date and a body.
pub(super) fn dated(status: u16, date: &str, body: &str) -> SqsBehavior {
    let length = body.len();
    SqsBehavior::Answers(format!(
        "HTTP/1.1 {status} Said\r\ndate: {date}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

pub(super) fn answers(status: u16, body: &str) -> SqsBehavior {
    dated(status, "", body)
}

pub(super) struct ScriptedSqsServer {
    address: SocketAddr,
    does: Arc<Mutex<SqsBehavior>>,
    served: JoinHandle<()>,
}

impl ScriptedSqsServer {
    pub(super) async fn that(does: SqsBehavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let does = Arc::new(Mutex::new(does));
        let current = Arc::clone(&does);
        let served = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&current)));
            }
        });
        Self { address, does, served }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the reaction to further requests.
    pub(super) fn set(&self, does: SqsBehavior) {
        *self.does.lock() = does;
    }
}

impl Drop for ScriptedSqsServer {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// Serves one small request; the connection closes with the task.
async fn serve(mut stream: TcpStream, does: Arc<Mutex<SqsBehavior>>) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let does = does.lock().clone();
    // The client may have closed the connection on purpose.
    match does {
        SqsBehavior::Answers(text) => drop(stream.write_all(text.as_bytes()).await),
        SqsBehavior::Begins(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
        }
        SqsBehavior::Ends => {}
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    lengths.is_some_and(|length| body.len() >= length.parse().unwrap())
}
