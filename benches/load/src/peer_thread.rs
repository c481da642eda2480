//! The thread on which the product's peers serve, separate from the clients.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};

/// A thread that serves HTTP. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct PeerThread(Option<Runtime>);

impl PeerThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if no thread is available.
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("peers").enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    /// Serves the requests to `listener` by `answer`.
    ///
    /// # Errors
    /// Returns an error if the listener cannot be used.
    pub(crate) fn serve<A, F>(&self, listener: TcpListener, answer: A) -> io::Result<()>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send,
    {
        let Some(runtime) = &self.0 else { return Ok(()) };
        let _context = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(async move {
            loop {
                // Out of file descriptors: retried until some are free again.
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(request);
                        async { Ok::<_, Infallible>(answer.await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(())
    }
}

impl Drop for PeerThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Binds a free port of the loopback interface.
///
/// # Errors
/// Returns an error if no port is available.
pub(crate) fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
