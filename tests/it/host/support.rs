//! A host on a free port, a raw client that can misbehave, and scripted queues.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::EnqueueError;
use chargegate_host::{DrainOutcome, EdgeComponentHost, HostLimits, HostSettings};
use chargegate_storage::queue::Producer;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Runs a test on one worker thread, so that a guest that blocks it is noticed, and fails a test that hangs.
///
/// The deadline is outside the runtime, whose timers stop while a guest blocks its only worker thread.
pub(crate) fn bounded(test: impl Future<Output = ()> + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(test);
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_mins(15)) {
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

/// Reads the component that a variable names.
pub(crate) fn component(variable: &str) -> Vec<u8> {
    let path = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} must name a component"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns settings for a component, with a compilation cache shared by all tests.
pub(crate) fn settings(variable: &str, limits: HostLimits) -> HostSettings {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("components");
    HostSettings { limits, cache: Some(cache), ..HostSettings::new(component(variable)) }
}

/// A running host.
pub(crate) struct TestHost {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<DrainOutcome>,
}

impl TestHost {
    /// Starts a host with the test guest.
    pub(crate) async fn guest(limits: HostLimits, queue: Arc<dyn Producer>) -> Self {
        Self::start(settings("CHARGEGATE_GUEST_COMPONENT", limits), queue).await
    }

    pub(crate) async fn start(settings: HostSettings, queue: Arc<dyn Producer>) -> Self {
        let host = EdgeComponentHost::load(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            host.serve(listener, queue, stopped).await
        });
        Self { address, stop, served }
    }

    pub(crate) async fn connect(&self) -> RawConnection {
        RawConnection::to(self.address).await
    }

    /// Sends one request on a new connection.
    pub(crate) async fn get(&self, path: &str) -> RawReply {
        self.connect().await.get(path).await
    }

    /// Asserts that the host still serves requests.
    pub(crate) async fn assert_serves(&self) {
        assert_eq!(self.get("/minimal").await.status, 202);
    }

    /// Requests a stop without waiting for it.
    pub(crate) fn stop(self) -> JoinHandle<DrainOutcome> {
        let _ = self.stop.send(());
        self.served
    }
}

/// Response on a [`RawConnection`].
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl RawReply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A raw HTTP/1.1 connection.
pub(crate) struct RawConnection(BufReader<TcpStream>);

impl RawConnection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    pub(crate) async fn get(&mut self, path: &str) -> RawReply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await;
        self.reply(false).await.expect("an answer")
    }

    /// Writes bytes and ignores errors: the peer may have closed the connection on purpose.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Reads a response; returns `None` if the connection ends before one begins.
    pub(crate) async fn reply(&mut self, to_head: bool) -> Option<RawReply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) if head.is_empty() => return None,
                Err(error) => panic!("the response is incomplete: {error}"),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = RawReply { status, headers, body: Vec::new() };
        if !to_head {
            let length =
                reply.header("content-length").expect("every response has a length").parse().unwrap();
            reply.body.resize(length, 0);
            self.0.read_exact(&mut reply.body).await.unwrap();
        }
        Some(reply)
    }
}

/// Queue that confirms every message.
pub(crate) struct ConfirmingQueue;

#[async_trait]
impl Producer for ConfirmingQueue {
    async fn enqueue(&self, _message: String) -> Result<(), EnqueueError> {
        Ok(())
    }
}

/// Queue that reports each enqueue and confirms it once allowed.
pub(crate) struct GatedQueue {
    entered: mpsc::UnboundedSender<()>,
    open: Arc<Semaphore>,
}

/// Control of a [`GatedQueue`].
pub(crate) struct GateControl {
    entries: mpsc::UnboundedReceiver<()>,
    open: Arc<Semaphore>,
}

impl GatedQueue {
    pub(crate) fn new() -> (Self, GateControl) {
        let (sender, entries) = mpsc::unbounded_channel();
        let open = Arc::new(Semaphore::new(0));
        (Self { entered: sender, open: Arc::clone(&open) }, GateControl { entries, open })
    }
}

impl GateControl {
    /// Waits until a message has reached the queue.
    pub(crate) async fn entered(&mut self) {
        self.entries.recv().await.unwrap();
    }

    pub(crate) fn allow(&self, messages: usize) {
        self.open.add_permits(messages);
    }
}

#[async_trait]
impl Producer for GatedQueue {
    async fn enqueue(&self, _message: String) -> Result<(), EnqueueError> {
        let _ = self.entered.send(());
        self.open.acquire().await.map_err(|_| EnqueueError::Unavailable)?.forget();
        Ok(())
    }
}

/// Queue with a scripted answer that keeps confirmed messages.
pub(crate) struct ScriptedProducer {
    /// `None` hangs.
    pub(crate) answer: Mutex<Option<Result<(), EnqueueError>>>,
    pub(crate) messages: Mutex<Vec<String>>,
}

impl Default for ScriptedProducer {
    fn default() -> Self {
        Self { answer: Mutex::new(Some(Ok(()))), messages: Mutex::default() }
    }
}

#[async_trait]
impl Producer for ScriptedProducer {
    async fn enqueue(&self, message: String) -> Result<(), EnqueueError> {
        let answer = *self.answer.lock();
        match answer {
            Some(Ok(())) => {
                self.messages.lock().push(message);
                Ok(())
            }
            Some(Err(error)) => Err(error),
            None => std::future::pending().await,
        }
    }
}
