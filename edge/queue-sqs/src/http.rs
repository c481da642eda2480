//! Requests over `wasi:http`.

use std::pin::pin;
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_queue::SpinComponentHost;
use futures_util::future::{Either, select};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Method, Request, RequestOptions, Response};
use spin_sdk::wasip3::wit_bindgen::StreamResult;
use spin_sdk::wasip3::{wit_future, wit_stream};

use crate::{EndpointScheme, SqsRequest, SqsResponse, SqsTransport, SqsTransportError};

/// Bounds the body of a response; the service's own are far shorter.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// HTTP, as far as the host allows connections, and the host's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WasiHttp;

impl SqsTransport for WasiHttp {
    async fn post(&self, request: SqsRequest) -> Result<SqsResponse, SqsTransportError> {
        let response = send(request).await?;
        let status = response.get_status_code();
        let date = response.get_headers().get("date").into_iter().next();
        let date = date.and_then(|date| String::from_utf8(date).ok());
        Ok(SqsResponse { status, date, body: read_body(response).await? })
    }

    async fn sleep(&self, duration: Duration) {
        SpinComponentHost.sleep(duration).await;
    }

    fn now(&self) -> UnixMillis {
        SpinComponentHost.now()
    }
}

async fn send(post: SqsRequest) -> Result<Response, SqsTransportError> {
    let (mut contents, body) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(headers(&post)?, Some(body), trailers, Some(options(post.timeout)?));
    let scheme = match post.scheme {
        EndpointScheme::Http => types::Scheme::Http,
        EndpointScheme::Https => types::Scheme::Https,
    };
    let complete = request
        .set_method(&Method::Post)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(&post.host)))
        .and_then(|()| request.set_path_with_query(Some("/")));
    complete.map_err(|()| SqsTransportError::Failed("its name is malformed"))?;

    let write = async {
        contents.write_all(post.body.into_bytes()).await;
        drop(contents);
        // A server that does not read to the end has answered already.
        drop(end.write(Ok(None)).await);
    };
    let sent = match select(pin!(write), pin!(client::send(request))).await {
        Either::Left(((), sent)) => sent.await,
        Either::Right((sent, _)) => sent,
    };
    sent.map_err(transport_error)
}

fn headers(post: &SqsRequest) -> Result<Fields, SqsTransportError> {
    let fields: Vec<_> =
        post.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    // The error is dropped, since it might repeat the headers.
    Fields::from_list(&fields).map_err(|_| SqsTransportError::Failed("the host refuses the headers"))
}

/// Returns the time limits, by which the host ends an exchange that nothing waits for any more. A host that ignores
/// them never does.
fn options(timeout: Duration) -> Result<RequestOptions, SqsTransportError> {
    let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    let set = options
        .set_connect_timeout(nanoseconds)
        .and_then(|()| options.set_first_byte_timeout(nanoseconds))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds));
    set.map(|()| options).map_err(|_| SqsTransportError::Failed("the host refuses time limits"))
}

/// Reads the complete body.
async fn read_body(response: Response) -> Result<Vec<u8>, SqsTransportError> {
    // The result sent to the host: reading succeeded.
    let (_, result) = wit_future::new(|| Ok(()));
    let (mut contents, trailers) = Response::consume_body(response, result);
    let mut body = Vec::new();
    loop {
        let (result, chunk) = contents.read(Vec::with_capacity(MAX_RESPONSE_BYTES)).await;
        body.extend(chunk);
        if body.len() > MAX_RESPONSE_BYTES {
            return Err(SqsTransportError::Failed("the response is too large"));
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    trailers.await.map(|_| body).map_err(transport_error)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn transport_error(code: ErrorCode) -> SqsTransportError {
    let reason = match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => return SqsTransportError::TimedOut,
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError
        | ErrorCode::InternalError(_) => return SqsTransportError::Broken,
        ErrorCode::HttpRequestDenied => "the host is not allowed by the manifest",
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => "the host does not exist",
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => {
            "the TLS handshake failed"
        }
        _ => "it cannot be reached",
    };
    SqsTransportError::Failed(reason)
}
