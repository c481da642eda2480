//! The edge as a component on WASI 0.3: for Spin, and for wasmtime in process.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use chargegate_core::UnixMillis;
use http_body_util::{BodyExt, Full};
use spin_sdk::http::{HeaderValue, IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::random::random::get_random_bytes;

use crate::{Body, BodyError, Host, QueueError, Response, SettingError, Settings, accept};

#[expect(clippy::same_length_and_capacity, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        world: "edge",
        path: "../wit",
        generate_all,
    });
}

use bindings::chargegate::edge::queue;
use bindings::spin::variables::variables;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let headers: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = crate::Request { method: head.method.as_str(), path: head.uri.path(), headers: &headers };
    written(accept(request, Incoming(body), &Component).await)
}

fn written(response: Response) -> spin_sdk::http::Response<Full<Bytes>> {
    let mut out = spin_sdk::http::Response::new(Full::default());
    *out.status_mut() = StatusCode::from_u16(response.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers() {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.headers_mut().append(name, value);
        }
    }
    *out.body_mut() = Full::new(match response.into_body() {
        std::borrow::Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        std::borrow::Cow::Owned(text) => Bytes::from(text),
    });
    out
}

struct Incoming<B>(B);

impl<B: BodyExt<Data = Bytes> + Unpin> Body for Incoming<B> {
    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]>>, BodyError> {
        loop {
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(BodyError::Cut),
                // Anything but data is a trailer, and trailers say nothing here.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

struct Component;

impl Host for Component {
    async fn enqueue(&self, message: &str) -> Result<(), QueueError> {
        queue::enqueue(message.to_owned()).await.map_err(|error| match error {
            queue::Error::Full => QueueError::Full,
            queue::Error::TooLarge => QueueError::TooLarge,
            queue::Error::TimedOut => QueueError::TimedOut,
            queue::Error::Unavailable => QueueError::Unavailable,
        })
    }

    fn now(&self) -> UnixMillis {
        let now = system_clock::now();
        let seconds = Duration::from_secs(u64::try_from(now.seconds).unwrap_or(0));
        UnixMillis(0).plus(seconds.saturating_add(Duration::from_nanos(now.nanoseconds.into())))
    }

    async fn sleep(&self, duration: Duration) {
        monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let mut filled = 0;
        // The host may give fewer than it is asked for.
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let some = get_random_bytes(u64::try_from(rest.len()).unwrap_or(u64::MAX));
            rest.iter_mut().zip(&some).for_each(|(slot, byte)| *slot = *byte);
            filled = filled.saturating_add(some.len());
        }
        bytes
    }

    async fn settings(&self) -> Result<&Settings, SettingError> {
        static SETTINGS: OnceLock<Result<Settings, SettingError>> = OnceLock::new();
        if SETTINGS.get().is_none() {
            let mut values = Vec::with_capacity(Settings::VARIABLES.len());
            for name in Settings::VARIABLES {
                // What cannot be read now is asked for again by the next request.
                values.extend(variable(name).await?.map(|value| (name, value)));
            }
            let lookup =
                |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
            // Two requests may have read them at once.
            let _ = SETTINGS.set(Settings::read(lookup));
        }
        SETTINGS.get().unwrap_or(&Err(SettingError::Unreadable)).as_ref().map_err(|error| *error)
    }
}

/// A variable of the environment, or else of the application: Spin has those only in lower case.
async fn variable(name: &str) -> Result<Option<String>, SettingError> {
    if let Some(value) = env::var_os(name) {
        // A value that is not Unicode is no network and no number either.
        return Ok(Some(value.to_string_lossy().into_owned()));
    }
    match variables::get(name.to_ascii_lowercase()).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(_) => Err(SettingError::Unreadable),
    }
}
