//! The edge as a Cloudflare Worker, with its queue in Cloudflare Queues.

mod body;
mod platform;

use std::sync::OnceLock;
use std::time::Duration;

use chargegate_core::{EnqueueError, MAX_MESSAGE_BYTES, UnixMillis};
use worker::{
    Context, Date, Delay, Env, Headers, Queue, QueueContentType, RawMessageBuilder, Request, Response,
    ResponseBody, console_error, event,
};

use crate::{EdgeHost, EdgeRequest, EdgeResponse, EdgeSettings, EdgeSettingsError, accept};
use body::WorkersRequestBody;

/// The binding of the queue, in `wrangler.toml`.
const QUEUE_BINDING: &str = "JOBS";
/// The longest message that Cloudflare accepts.
const MAX_QUEUE_MESSAGE_BYTES: usize = 128_000;
/// No message that a worker decodes is too long for the queue.
const _: () = assert!(MAX_MESSAGE_BYTES <= MAX_QUEUE_MESSAGE_BYTES);

#[event(fetch)]
async fn handle(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    // Read from the platform's request: the SDK's own type turns an unknown method into GET.
    let (method, path) = (request.inner().method(), request.path());
    // Only the fields that are read, since each costs a call. A field that was sent twice has both values in one.
    let headers = EdgeRequest::FIELDS.map(|name| (name, request.headers().get(name).ok().flatten()));
    let headers: Vec<_> =
        headers.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes()))).collect();
    let head = EdgeRequest { method: &method, path: &path, headers: &headers };
    let body = WorkersRequestBody::new(&request, head);
    to_workers_response(accept(head, body, &WorkersEdgeHost(&env)).await)
}

fn to_workers_response(response: EdgeResponse) -> worker::Result<Response> {
    let headers = Headers::new();
    for (name, value) in response.headers() {
        headers.append(name, value)?;
    }
    let out = Response::builder().with_status(response.status()).with_headers(headers);
    Ok(out.body(ResponseBody::Body(response.into_body().into_owned().into_bytes())))
}

/// The environment of a request.
struct WorkersEdgeHost<'a>(&'a Env);

impl EdgeHost for WorkersEdgeHost<'_> {
    async fn enqueue(&self, message: &str) -> Result<(), EnqueueError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueError::TooLarge);
        }
        let queue: Queue = self.0.queue(QUEUE_BINDING).map_err(|_| EnqueueError::Unavailable)?;
        let message = RawMessageBuilder::new(message.into());
        // A promise that never settles leaks the two closures that wait for it until the isolate ends: js-sys cannot
        // release them earlier.
        queue.send_raw(message.build_with_content_type(QueueContentType::Text)).await.map_err(|error| {
            let code = error_code(&error.to_string());
            // Only the number: the rest of the text is the platform's and may contain anything.
            console_error!(
                "{QUEUE_BINDING} did not confirm a message: error {} of developers.cloudflare.com/queues/reference/error-codes",
                code.unwrap_or_default()
            );
            enqueue_error(code)
        })
    }

    fn report_timeout(&self, timeout: Duration) {
        let timeout = timeout.as_millis();
        console_error!(
            "{QUEUE_BINDING} did not confirm a message in {timeout} ms, which CHARGEGATE_ENQUEUE_TIMEOUT_MS sets"
        );
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(0).plus(Duration::from_millis(Date::now().as_millis()))
    }

    async fn sleep(&self, duration: Duration) {
        Delay::from(duration).await;
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        platform::fill_random(&mut bytes);
        bytes
    }

    async fn settings(&self) -> Result<&EdgeSettings, EdgeSettingsError> {
        static SETTINGS: OnceLock<Result<EdgeSettings, EdgeSettingsError>> = OnceLock::new();
        let read = || {
            if self.0.queue(QUEUE_BINDING).is_err() {
                return Err(EdgeSettingsError::Queue);
            }
            EdgeSettings::read(|name| platform::variable(self.0, name))
        };
        let settings = SETTINGS.get_or_init(read).as_ref();
        // Logged for each request, since an operator may start to watch the live log at any time.
        settings.map_err(|error| *error).inspect_err(|error| console_error!("{error}"))
    }
}

/// Returns the number at the end of the queue's error text, such as `Queue is overloaded (10250)`.
fn error_code(error: &str) -> Option<u32> {
    error.strip_suffix(')')?.rsplit_once('(')?.1.parse().ok()
}

/// Returns the error for a code of the queue, by Cloudflare's list of error codes.
fn enqueue_error(code: Option<u32>) -> EnqueueError {
    match code {
        // MessageSizeOutOfBounds.
        Some(10_204) => EnqueueError::TooLarge,
        // QueueOverloaded and QueueStorageLimitExceeded.
        Some(10_250 | 10_251) => EnqueueError::Full,
        _ => EnqueueError::Unavailable,
    }
}
