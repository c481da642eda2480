//! Outgoing HTTP to the hosts that the manifest allows, over connections that all instances share. The host sets no
//! timeouts, and requires the guest to set all of them.

use std::sync::Arc;

use http::Uri;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::spin::manifest::ComponentGrants;

/// Connection pool of an application.
pub(super) type ConnectionPool = Client<HttpConnector, WasiBody>;

pub(super) fn pool() -> ConnectionPool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Outgoing HTTP of one instance.
pub(super) struct OutgoingHttp {
    pub(super) grants: Arc<ComponentGrants>,
    pub(super) pool: ConnectionPool,
}

type IoDriver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type OutgoingResult = Result<(http::Response<WasiBody>, IoDriver), Error>;

impl WasiHttpHooks for OutgoingHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _io: IoDriver,
    ) -> Box<dyn Future<Output = OutgoingResult> + Send> {
        let is_allowed = self.grants.hosts.iter().any(|host| is_same_server(host, request.uri()));
        let answer = self.pool.request(request);
        Box::new(async move {
            if !is_allowed {
                return Err(Error::HttpRequestDenied);
            }
            if !options.is_some_and(is_complete) {
                return Err(Error::ConfigurationError);
            }
            let answer = answer.await.map_err(|error| {
                if error.is_connect() { Error::ConnectionRefused } else { Error::ConnectionTerminated }
            })?;
            let body = |body: hyper::body::Incoming| body.map_err(Error::from).boxed_unsync();
            let io: IoDriver = Box::new(async { Ok(()) });
            Ok((answer.map(body), io))
        })
    }
}

fn is_complete(options: RequestOptions) -> bool {
    let RequestOptions { connect_timeout, first_byte_timeout, between_bytes_timeout } = options;
    [connect_timeout, first_byte_timeout, between_bytes_timeout].iter().all(Option::is_some)
}

fn is_same_server(allowed: &str, uri: &Uri) -> bool {
    let allowed: Uri = allowed.parse().unwrap();
    (allowed.scheme(), allowed.authority()) == (uri.scheme(), uri.authority())
}
