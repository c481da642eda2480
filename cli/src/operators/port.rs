//! The client of the ops port of a running process.

use std::time::Duration;

use bytes::Bytes;
use chargegate_storage::operate::OperatorName;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time limit of one exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Size limit of a response body.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// A client of the ops port.
pub(super) struct OpsPortClient {
    authority: String,
    token: HeaderValue,
    operator: HeaderValue,
}

impl OpsPortClient {
    pub(super) fn new(url: &Uri, token: &str, operator: &OperatorName) -> Result<Self, OpsPortError> {
        let authority = url.authority().filter(|_| url.scheme_str() == Some("http"));
        let authority = authority.ok_or(OpsPortError::Url)?.as_str();
        let default_port = if url.port().is_none() { ":80" } else { "" };
        let mut token =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| OpsPortError::Refused)?;
        token.set_sensitive(true);
        // Other characters than ASCII cannot travel in a header.
        let name: String = operator
            .as_str()
            .chars()
            .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
            .collect();
        let operator = HeaderValue::from_str(&name).map_err(|_| OpsPortError::Url)?;
        Ok(Self { authority: format!("{authority}{default_port}"), token, operator })
    }

    /// Posts `body` to a route.
    ///
    /// # Errors
    /// [`OpsPortError`].
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, OpsPortError> {
        let body = serde_json::to_vec(body).map_err(|_| OpsPortError::Response)?;
        let exchange = self.exchange(path, body.into());
        let (status, body) = timeout(EXCHANGE_TIMEOUT, exchange)
            .await
            .map_err(|_| OpsPortError::Unreachable(std::io::ErrorKind::TimedOut.into()))??;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|_| OpsPortError::Response),
            StatusCode::UNAUTHORIZED => Err(OpsPortError::Refused),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(OpsPortError::Off),
            _ => {
                let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let detail =
                    problem.get("detail").and_then(|detail| detail.as_str()).unwrap_or("no reason is given");
                Err(OpsPortError::Failed { status, detail: detail.to_owned() })
            }
        }
    }

    async fn exchange(&self, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), OpsPortError> {
        let stream = TcpStream::connect(&self.authority).await.map_err(OpsPortError::Unreachable)?;
        let lost = |error| OpsPortError::Unreachable(std::io::Error::other(error));
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        let request = Request::post(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, &self.token)
            .header("x-operator", &self.operator)
            .body(Full::new(body))
            .map_err(|_| OpsPortError::Url)?;
        let response = sender.send_request(request).await.map_err(lost)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
        Ok((status, body.map_err(|_| OpsPortError::Response)?.to_bytes()))
    }
}

/// Error of the ops port, as an operator sees it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpsPortError {
    /// The URL is unusable.
    #[error("--ops-url or CHARGEGATE_OPS_URL: expected a URL like http://127.0.0.1:3001")]
    Url,
    /// Nothing answers.
    #[error(
        "the process that holds the data folder does not answer: name its ops port with --ops-url or CHARGEGATE_OPS_URL"
    )]
    Unreachable(#[source] std::io::Error),
    /// The token is wrong.
    #[error("the ops port refuses the token of --ops-token-file or CHARGEGATE_OPS_TOKEN_FILE")]
    Refused,
    /// The port accepts no changes.
    #[error(
        "the ops port accepts no changes: start its process with --ops-token-file or CHARGEGATE_OPS_TOKEN_FILE"
    )]
    Off,
    /// The action failed.
    #[error("the ops port answers {status}: {detail}")]
    Failed {
        /// Status of the response.
        status: StatusCode,
        /// The reason.
        detail: String,
    },
    /// The response is unreadable.
    #[error("the response of the ops port is unreadable: does another program listen at --ops-url?")]
    Response,
}
