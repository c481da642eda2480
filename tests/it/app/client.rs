//! An HTTP client for the edge and the ops port.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::TEST_DEADLINE;

/// HTTP client with connection reuse.
#[derive(Clone)]
pub(crate) struct HttpClient(hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>);

/// Response to a request of [`HttpClient`].
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl HttpReply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// Returns the id of an accepted request.
    pub(crate) fn request_id(&self) -> String {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.body);
        self.header("x-request-id").to_owned()
    }
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector))
    }

    pub(crate) async fn get(&self, url: &str) -> HttpReply {
        self.send(Method::GET, url, "", &[]).await.unwrap()
    }

    pub(crate) async fn post(&self, url: &str, body: &str, headers: &[(&str, &str)]) -> HttpReply {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send(Method::POST, url, body, &all).await.unwrap()
    }

    /// Sends one request; returns `None` if the connection fails or is cut, or at the deadline.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Option<HttpReply> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let exchange = async {
            let (head, body) = self.0.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some((head, body))
        };
        let (head, body) = tokio::time::timeout(TEST_DEADLINE, exchange).await.ok()??;
        let body = String::from_utf8(body.to_vec()).unwrap();
        Some(HttpReply { status: head.status, headers: head.headers, body })
    }
}
