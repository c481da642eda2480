//! Documents of the measured processes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bound on the whole exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Size limit of a document.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Returns the document at `path` of a process, or `None` if it does not answer 200 in time.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<Bytes> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request =
            Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new()).ok()?;
        let response = sender.send_request(request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES).collect().await.ok()?;
        Some(body.to_bytes())
    };
    timeout(EXCHANGE_TIMEOUT, exchange).await.ok()?
}
