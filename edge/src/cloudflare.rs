//! The edge as a worker: for Cloudflare Workers, with its queue in Cloudflare Queues.

mod body;
mod platform;

use std::sync::OnceLock;
use std::time::Duration;

use chargegate_core::{MAX_MESSAGE_BYTES, UnixMillis};
use worker::{Context, Date, Delay, Env, Headers, Queue, QueueContentType, RawMessageBuilder, ResponseBody};
use worker::{console_error, event};

use crate::{Host, QueueError, Request, Response, SettingError, Settings, accept};
use body::Incoming;

/// The binding of the queue, in `wrangler.toml`.
const QUEUE: &str = "JOBS";
/// The longest message that Cloudflare takes.
const QUEUE_BYTES: usize = 128_000;
/// What a worker would decode is never too long.
const _: () = assert!(MAX_MESSAGE_BYTES <= QUEUE_BYTES);

#[event(fetch)]
async fn handle(request: worker::Request, env: Env, _context: Context) -> worker::Result<worker::Response> {
    // As the platform has it: the SDK's own type takes a method it does not know for GET.
    let (method, path) = (request.inner().method(), request.path());
    // Those that are looked at, since each costs a call. One that was sent twice has both its values in one.
    let headers = Request::FIELDS.map(|name| (name, request.headers().get(name).ok().flatten()));
    let headers: Vec<_> =
        headers.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes()))).collect();
    let head = Request { method: &method, path: &path, headers: &headers };
    written(accept(head, Incoming::of(&request, head), &Isolate(&env)).await)
}

fn written(response: Response) -> worker::Result<worker::Response> {
    let headers = Headers::new();
    for (name, value) in response.headers() {
        headers.append(name, value)?;
    }
    let out = worker::Response::builder().with_status(response.status()).with_headers(headers);
    Ok(out.body(ResponseBody::Body(response.into_body().into_owned().into_bytes())))
}

/// What a request finds in its isolate.
struct Isolate<'a>(&'a Env);

impl Host for Isolate<'_> {
    async fn enqueue(&self, message: &str) -> Result<(), QueueError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(QueueError::TooLarge);
        }
        let queue: Queue = self.0.queue(QUEUE).map_err(|_| QueueError::Unavailable)?;
        let message = RawMessageBuilder::new(message.into());
        // Of a promise that never settles the two closures that wait for it are left until the isolate ends: js-sys
        // cannot take them back.
        queue.send_raw(message.build_with_content_type(QueueContentType::Text)).await.map_err(|error| {
            let code = code(&error.to_string());
            // Its number alone: the rest of the text is not ours.
            console_error!(
                "{QUEUE} did not confirm a message: error {} of developers.cloudflare.com/queues/reference/error-codes",
                code.unwrap_or_default()
            );
            refusal(code)
        })
    }

    fn gave_up(&self, patience: Duration) {
        let patience = patience.as_millis();
        console_error!(
            "{QUEUE} did not confirm a message in {patience} ms, which CHARGEGATE_ENQUEUE_TIMEOUT_MS sets"
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

    async fn settings(&self) -> Result<&Settings, SettingError> {
        static SETTINGS: OnceLock<Result<Settings, SettingError>> = OnceLock::new();
        let read = || {
            if self.0.queue(QUEUE).is_err() {
                return Err(SettingError::Queue);
            }
            Settings::read(|name| platform::variable(self.0, name))
        };
        let settings = SETTINGS.get_or_init(read).as_ref();
        // For each request, since a log that is looked at live begins with any of them.
        settings.map_err(|error| *error).inspect_err(|error| console_error!("{error}"))
    }
}

/// The number that ends the text of the queue's error, like `Queue is overloaded (10250)`.
fn code(error: &str) -> Option<u32> {
    error.strip_suffix(')')?.rsplit_once('(')?.1.parse().ok()
}

/// What an error of the queue means, by Cloudflare's list of error codes.
fn refusal(code: Option<u32>) -> QueueError {
    match code {
        // MessageSizeOutOfBounds.
        Some(10_204) => QueueError::TooLarge,
        // QueueOverloaded and QueueStorageLimitExceeded.
        Some(10_250 | 10_251) => QueueError::Full,
        _ => QueueError::Unavailable,
    }
}
