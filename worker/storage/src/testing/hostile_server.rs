//! A TCP server that writes raw bytes, so that its responses can be invalid.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A TCP server on a free port; it stops when dropped.
pub struct HostileServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl HostileServer {
    /// Starts a server that calls `serve` for each connection, numbered from zero.
    pub async fn start<F>(serve: impl Fn(TcpStream, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at(([127, 0, 0, 1], 0).into(), serve).await
    }

    /// Like [`HostileServer::start`], at a given address.
    pub async fn start_at<F>(
        address: SocketAddr,
        serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { address, connections, accepting }
    }

    /// Starts a server that reads one request of each connection, writes `answer` and closes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream, _| {
            let answer = Arc::clone(&answer);
            async move {
                let _ = read_request(&mut stream).await;
                let _ = stream.write_all(&answer).await;
            }
        })
        .await
    }

    /// Starts a server that reads one request of each connection and never responds.
    pub async fn hanging() -> Self {
        Self::start(async |mut stream, _| {
            let _ = read_request(&mut stream).await;
            // Until the other side gives up.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await
    }

    /// Starts a server that writes `head` and then `chunk` without end; the receiver gets the number of bytes written
    /// before the connection closed.
    pub async fn pouring(head: &'static str, chunk: Vec<u8>) -> (Self, oneshot::Receiver<usize>) {
        let (sender, poured) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let peer = Self::start(move |mut stream, _| {
            let (chunk, sender) = (chunk.clone(), Arc::clone(&sender));
            async move {
                let _ = read_request(&mut stream).await;
                let mut total = 0;
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&chunk).await.is_ok() {
                    total += chunk.len();
                }
                let _ = sender.lock().take().map(|sender| sender.send(total));
            }
        })
        .await;
        (peer, poured)
    }

    /// Returns a port on which nothing listens.
    pub async fn refusing() -> u16 {
        Self::answering("").await.port()
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of accepted connections.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads one request with its body; `None` when the other side closes before its end.
pub async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
