//! The listener, which can stop and restart on its port; stopping cuts every connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::{self, SharedEmulator};

const BACKLOG: u32 = 1024;

#[derive(Debug)]
pub(crate) struct EmulatorServer {
    /// Bound and never listening: keeps the port reserved during an outage, so that connections are refused.
    holder: TcpSocket,
    running: Mutex<Option<ServerTasks>>,
    shared: Arc<SharedEmulator>,
}

#[derive(Debug)]
struct ServerTasks {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl EmulatorServer {
    pub(crate) fn start(address: SocketAddr, shared: Arc<SharedEmulator>) -> io::Result<Self> {
        let holder = bind(address)?;
        let server = Self { holder, running: Mutex::new(None), shared };
        server.listen()?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.holder.local_addr()
    }

    /// Listens unless already listening.
    pub(crate) fn listen(&self) -> io::Result<()> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Ok(());
        }
        let listener = bind(self.address()?)?.listen(BACKLOG)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(listener, Arc::clone(&self.shared), stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        *running = Some(ServerTasks { stop, tasks });
        Ok(())
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) async fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(ServerTasks { stop, tasks }) = running {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }
}

impl Drop for EmulatorServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut() {
            running.stop.cancel();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // The holder and the listener share the port.
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(
    listener: TcpListener,
    shared: Arc<SharedEmulator>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        // Either one connection was aborted, or file descriptors ran out temporarily.
        let Ok((connection, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let serving = serve(connection, Arc::clone(&shared));
        tasks.spawn(stop.clone().run_until_cancelled_owned(serving));
    }
}

async fn serve(connection: TcpStream, shared: Arc<SharedEmulator>) {
    let _ = connection.set_nodelay(true);
    let service = service_fn(|request| service::serve(Arc::clone(&shared), request));
    // An error means that the connection ended, often cut on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}
