//! Calls to a service: one deadline over the whole exchange, a cap on the answer, no redirects, no proxy.

use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::bounded::Bounded;
use crate::retry_after::retry_after;

/// No connection takes longer to open, name and TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest a service is left alone, whatever it asks for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Makes calls over kept connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pool: Pool<Bounded<HttpsConnector<HttpConnector>>, Full<Bytes>>,
    max_answer: usize,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why nothing came back that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection could not be made, or broke.
    #[error("the connection failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is longer than any that is expected.
    #[error("the answer is too large")]
    TooLarge,
}

impl Client {
    /// A client that reads answers of up to `max_answer` bytes, and keeps up to `connections` idle connections.
    ///
    /// # Errors
    /// The TLS library offers no usable protocol version.
    pub(crate) fn new(connections: usize, max_answer: usize) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(connections)
            .build(Bounded::new(connector, CONNECT));
        Ok(Self { pool, max_answer })
    }

    /// One exchange, over at `deadline` from now.
    ///
    /// # Errors
    /// [`CallError`]; the call may have been done all the same.
    pub(crate) async fn call(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        let name = HeaderValue::from_static(concat!("chargegate/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, name);
        let exchange = async {
            let answer = self.pool.request(request).await.map_err(|error| CallError::Broken(error.into()))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.max_answer).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() { CallError::TooLarge } else { CallError::Broken(error) }
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(CallError::TimedOut))
    }
}

impl Answer {
    /// How long the service wants to be left alone, if it says so (RFC 9110 section 10.2.3); never very long. The
    /// form that gives a date is not read.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers).map(|wait| wait.min(LONGEST_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use chargegate_storage::testing::Peer;

    const LONG: Duration = Duration::from_mins(1);
    const MAX_ANSWER: usize = 1_000;

    async fn call(peer: &Peer, deadline: Duration) -> Result<Answer, CallError> {
        let uri = format!("http://127.0.0.1:{}/", peer.port());
        let request = Request::post(uri).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
        Client::new(1, MAX_ANSWER).unwrap().call(request, deadline).await
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn an_answer_of_the_longest_length_is_read_and_a_longer_one_is_none() {
        let longest = "x".repeat(MAX_ANSWER);
        let peer = Peer::answering(answer("200 OK", &longest)).await;
        assert_eq!(call(&peer, LONG).await.unwrap().body, longest);
        let peer = Peer::answering(answer("200 OK", &format!("{longest}x"))).await;
        assert!(matches!(call(&peer, LONG).await, Err(CallError::TooLarge)));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (peer, poured) = Peer::pouring(head, b"4\r\nxxxx\r\n".to_vec()).await;
        assert!(matches!(call(&peer, LONG).await, Err(CallError::TooLarge)));
        poured.await.unwrap();
    }

    #[tokio::test]
    async fn a_call_ends_at_its_deadline_wherever_it_hangs() {
        let deadline = Duration::from_millis(200);
        let began = Instant::now();
        let peer = Peer::hanging().await;
        assert!(matches!(call(&peer, deadline).await, Err(CallError::TimedOut)));
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        let peer = Peer::start(async move |mut stream, _| {
            let _ = chargegate_storage::testing::read_request(&mut stream).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await;
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
        })
        .await;
        assert!(matches!(call(&peer, deadline).await, Err(CallError::TimedOut)));
        assert!(began.elapsed() >= deadline * 2);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_a_cut_answer_is_none() {
        let peer = Peer::answering(answer("302 Found\r\nlocation: http://127.0.0.1:1/", "")).await;
        assert_eq!(call(&peer, LONG).await.unwrap().status, StatusCode::FOUND);
        let peer = Peer::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        assert!(matches!(call(&peer, LONG).await, Err(CallError::Broken(_))));
    }

    #[tokio::test]
    async fn a_wait_that_is_asked_for_is_bounded() {
        let peer = Peer::answering(answer("429 Slow\r\nretry-after: 99999999999999999999999", "")).await;
        assert_eq!(call(&peer, LONG).await.unwrap().retry_after(), Some(LONGEST_RETRY_AFTER));
    }
}
