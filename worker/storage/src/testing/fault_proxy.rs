//! A TCP proxy that injects network faults.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// A TCP proxy between an engine and a server.
pub struct FaultProxy {
    port: u16,
    state: Arc<ProxyState>,
}

struct ProxyState {
    /// Target port of new connections.
    target: AtomicU16,
    /// Set while commands of clients are dropped.
    swallows_commands: AtomicBool,
    /// Set while responses of the server are dropped.
    swallows_answers: AtomicBool,
    cut: broadcast::Sender<()>,
}

impl FaultProxy {
    /// Starts a proxy to a port on loopback.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(ProxyState {
            target: AtomicU16::new(target),
            swallows_commands: AtomicBool::new(false),
            swallows_answers: AtomicBool::new(false),
            cut: broadcast::channel(1).0,
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, Arc::clone(&serving)));
            }
        });
        Self { port, state }
    }

    /// Returns the port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL of a Redis server behind the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let _ = self.state.cut.send(());
    }

    /// Changes the target of later connections.
    pub fn lead_to(&self, target: u16) {
        self.state.target.store(target, Ordering::SeqCst);
    }

    /// Drops or forwards the commands of clients.
    pub fn swallow_commands(&self, swallows: bool) {
        self.state.swallows_commands.store(swallows, Ordering::SeqCst);
    }

    /// Drops or forwards the responses of the server.
    pub fn swallow_answers(&self, swallows: bool) {
        self.state.swallows_answers.store(swallows, Ordering::SeqCst);
    }
}

async fn connect(client: TcpStream, state: Arc<ProxyState>) {
    let mut cut = state.cut.subscribe();
    let target = state.target.load(Ordering::SeqCst);
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::select! {
        () = pass(client_reads, server_writes, &state.swallows_commands) => {}
        () = pass(server_reads, client_writes, &state.swallows_answers) => {}
        _ = cut.recv() => {}
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, swallows: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !swallows.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
