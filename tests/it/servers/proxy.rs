//! A TCP proxy that injects network faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// A network fault on the open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyEvent {
    /// Both directions end at once.
    Cut,
    /// Data and close from the server are lost; data from the client still arrives.
    HalfClose,
}

/// A proxy in front of one server.
pub(super) struct TcpProxy {
    pub(super) port: u16,
    server: Arc<AtomicU16>,
    events: broadcast::Sender<ProxyEvent>,
    delay_ms: Arc<AtomicU64>,
}

impl TcpProxy {
    /// Starts on a free port.
    pub(super) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (events, _) = broadcast::channel(64);
        let delay_ms = Arc::default();
        let server = Arc::new(AtomicU16::new(server));
        tokio::spawn(serve(listener, Arc::clone(&server), events.clone(), Arc::clone(&delay_ms)));
        Self { port, server, events, delay_ms }
    }

    /// Switches to another server and cuts every connection to the former one.
    pub(super) fn switch(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
        self.cut();
    }

    /// Cuts every connection.
    pub(super) fn cut(&self) {
        let _ = self.events.send(ProxyEvent::Cut);
    }

    /// Drops all further data from the server on every open connection.
    pub(super) fn half_close(&self) {
        let _ = self.events.send(ProxyEvent::HalfClose);
    }

    /// Delays all further data by this time.
    pub(super) fn delay(&self, by: Duration) {
        self.delay_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

async fn serve(
    listener: TcpListener,
    server: Arc<AtomicU16>,
    events: broadcast::Sender<ProxyEvent>,
    delay_ms: Arc<AtomicU64>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.load(Ordering::Relaxed)));
        let Ok(server) = TcpStream::connect(address).await else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pump(from_client, to_server, events.subscribe(), Arc::clone(&delay_ms), false));
        tokio::spawn(pump(from_server, to_client, events.subscribe(), Arc::clone(&delay_ms), true));
    }
}

/// Forwards one direction; `may_hang` is set for data from the server.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut events: broadcast::Receiver<ProxyEvent>,
    delay_ms: Arc<AtomicU64>,
    may_hang: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(length) if length > 0 => length,
                _ => return,
            },
            event = events.recv() => match event {
                Ok(ProxyEvent::HalfClose) if may_hang => {
                    // The connection stays open and silent until it is cut.
                    while !matches!(events.recv().await, Ok(ProxyEvent::Cut) | Err(_)) {}
                    return;
                }
                Ok(ProxyEvent::HalfClose) => continue,
                _ => return,
            },
        };
        let delay = delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
