//! Requests over `wasi:http`.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use chargegate_core::{CallbackScheme, UnixMillis};
use chargegate_queue::Spin;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Method, Request, RequestOptions, Response};
use spin_sdk::wasip3::wit_bindgen::StreamResult;
use spin_sdk::wasip3::{wit_future, wit_stream};

use crate::{Answer, NoAnswer, Post, Service};

/// An answer is shorter by far.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// What the host lets be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http;

impl Service for Http {
    async fn post(&self, post: Post) -> Result<Answer, NoAnswer> {
        let response = send(post).await?;
        let status = response.get_status_code();
        let date = response.get_headers().get("date").into_iter().next();
        let date = date.and_then(|date| String::from_utf8(date).ok());
        Ok(Answer { status, date, body: read(response).await? })
    }

    async fn sleep(&self, duration: Duration) {
        Spin.sleep(duration).await;
    }

    fn now(&self) -> UnixMillis {
        Spin.now()
    }
}

async fn send(post: Post) -> Result<Response, NoAnswer> {
    let (mut contents, body) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(headers(&post)?, Some(body), trailers, Some(options(post.timeout)?));
    let scheme = match post.scheme {
        CallbackScheme::Http => types::Scheme::Http,
        CallbackScheme::Https => types::Scheme::Https,
    };
    let complete = request
        .set_method(&Method::Post)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(&post.host)))
        .and_then(|()| request.set_path_with_query(Some("/")));
    complete.map_err(|()| NoAnswer::Failed("its name is malformed"))?;

    let write = async {
        contents.write_all(post.body.into_bytes()).await;
        drop(contents);
        // Whoever does not read it has an answer already.
        drop(end.write(Ok(None)).await);
    };
    let (mut write, mut sent) = (pin!(write), pin!(client::send(request)));
    let mut writes = true;
    let sent = poll_fn(|cx| {
        writes = writes && write.as_mut().poll(cx).is_pending();
        sent.as_mut().poll(cx)
    });
    sent.await.map_err(no_answer)
}

fn headers(post: &Post) -> Result<Fields, NoAnswer> {
    let fields: Vec<_> =
        post.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    // Not the error, which might repeat them.
    Fields::from_list(&fields).map_err(|_| NoAnswer::Failed("the host refuses the headers"))
}

/// A host that keeps to these ends what nobody waits for any more; others know no end.
fn options(timeout: Duration) -> Result<RequestOptions, NoAnswer> {
    let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    let set = options
        .set_connect_timeout(nanoseconds)
        .and_then(|()| options.set_first_byte_timeout(nanoseconds))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds));
    set.map(|()| options).map_err(|_| NoAnswer::Failed("the host refuses time limits"))
}

/// The whole body.
async fn read(response: Response) -> Result<Vec<u8>, NoAnswer> {
    // It ends well unless told otherwise.
    let (_, result) = wit_future::new(|| Ok(()));
    let (mut contents, trailers) = Response::consume_body(response, result);
    let mut body = Vec::new();
    loop {
        let (result, chunk) = contents.read(Vec::with_capacity(MAX_ANSWER_BYTES)).await;
        body.extend(chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(NoAnswer::Failed("the answer is too large"));
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    trailers.await.map(|_| body).map_err(no_answer)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn no_answer(code: ErrorCode) -> NoAnswer {
    let text = match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => return NoAnswer::TimedOut,
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError
        | ErrorCode::InternalError(_) => return NoAnswer::Broken,
        ErrorCode::HttpRequestDenied => "it is not among the hosts that are allowed",
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => "there is no such host",
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => {
            "TLS cannot be agreed upon"
        }
        _ => "it cannot be reached",
    };
    NoAnswer::Failed(text)
}
