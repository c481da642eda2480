//! The clients: requests at their planned times, over kept connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout_at};
use tokio_util::task::TaskTracker;

use crate::book::{Answer, Book};

/// How long an answer may take, from the planned moment.
const TIMEOUT: Duration = Duration::from_secs(10);

type Connection = SendRequest<Full<Bytes>>;

/// Posts requests over at most so many connections; further requests wait for one.
#[derive(Debug)]
pub(crate) struct Client {
    edge: SocketAddr,
    host: HeaderValue,
    slots: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// Why there is no answer.
struct Lost;

impl Client {
    pub(crate) fn new(edge: SocketAddr, connections: usize) -> Self {
        Self {
            edge,
            host: HeaderValue::from_str(&edge.to_string()).unwrap_or(HeaderValue::from_static("edge")),
            slots: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
        }
    }

    /// Sends every request of the book at its planned time, whatever became of the ones before, and waits for the
    /// answers.
    pub(crate) async fn send_all(self, book: &Arc<Book>, callback_url: &str) {
        let client = Arc::new(self);
        let in_flight = TaskTracker::new();
        for number in 0..book.requests() {
            let planned = book.planned(number);
            if planned > tokio::time::Instant::now() {
                sleep_until(planned).await;
            } else if number % 16 == 0 {
                // Behind its times, it must not keep the answers waiting.
                tokio::task::yield_now().await;
            }
            let (client, book) = (Arc::clone(&client), Arc::clone(book));
            let body = Book::body(number, callback_url);
            in_flight.spawn(async move {
                let exchange = timeout_at(planned + TIMEOUT, client.post(body.into())).await;
                book.answered(
                    number,
                    match exchange {
                        Ok(Ok(StatusCode::ACCEPTED)) => Answer::Accepted,
                        Ok(Ok(_)) => Answer::Refused,
                        Ok(Err(Lost)) | Err(_) => Answer::Uncertain,
                    },
                );
            });
        }
        in_flight.close();
        in_flight.wait().await;
    }

    async fn post(&self, body: Bytes) -> Result<StatusCode, Lost> {
        let _slot = self.slots.acquire().await.map_err(|_| Lost)?;
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = Request::post("/v1/charging-sessions")
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| Lost)?;
        let response = connection.send_request(request).await.map_err(|_| Lost)?;
        let status = response.status();
        response.into_body().collect().await.map_err(|_| Lost)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(status)
    }

    /// A kept connection that is still open.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let popped = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = popped?;
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Lost> {
        let stream = TcpStream::connect(self.edge).await.map_err(|_| Lost)?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Lost)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
