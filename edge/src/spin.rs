//! The edge as a component on WASI 0.3: for Spin, and for wasmtime in process.

use std::borrow::Cow;
use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use chargegate_core::{EnqueueError, UnixMillis};
use http_body_util::{BodyExt, Full};
use spin_sdk::http::{HeaderValue, IntoResponse, Request, Response, StatusCode};
use spin_sdk::http_service;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::random::random::get_random_bytes;

use crate::{
    EdgeHost, EdgeRequest, EdgeResponse, EdgeSettings, EdgeSettingsError, RequestBody, RequestBodyError,
    accept,
};

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
    let request = EdgeRequest { method: head.method.as_str(), path: head.uri.path(), headers: &headers };
    to_spin_response(accept(request, SpinRequestBody(body), &SpinEdgeHost).await)
}

fn to_spin_response(response: EdgeResponse) -> Response<Full<Bytes>> {
    let mut out = Response::new(Full::default());
    *out.status_mut() = StatusCode::from_u16(response.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers() {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.headers_mut().append(name, value);
        }
    }
    *out.body_mut() = Full::new(match response.into_body() {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    });
    out
}

struct SpinRequestBody<B>(B);

impl<B: BodyExt<Data = Bytes> + Unpin> RequestBody for SpinRequestBody<B> {
    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]>>, RequestBodyError> {
        loop {
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(RequestBodyError::Truncated),
                // A frame without data is a trailer, and trailers are ignored.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

struct SpinEdgeHost;

impl EdgeHost for SpinEdgeHost {
    async fn enqueue(&self, message: &str) -> Result<(), EnqueueError> {
        queue::enqueue(message.to_owned()).await.map_err(|error| match error {
            queue::Error::Full => EnqueueError::Full,
            queue::Error::TooLarge => EnqueueError::TooLarge,
            queue::Error::TimedOut => EnqueueError::TimedOut,
            queue::Error::Unavailable => EnqueueError::Unavailable,
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
        // The host may return fewer bytes than requested.
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let random = get_random_bytes(u64::try_from(rest.len()).unwrap_or(u64::MAX));
            rest.iter_mut().zip(&random).for_each(|(slot, byte)| *slot = *byte);
            filled = filled.saturating_add(random.len());
        }
        bytes
    }

    async fn settings(&self) -> Result<&EdgeSettings, EdgeSettingsError> {
        static SETTINGS: OnceLock<Result<EdgeSettings, EdgeSettingsError>> = OnceLock::new();
        if SETTINGS.get().is_none() {
            let mut values = Vec::with_capacity(EdgeSettings::VARIABLES.len());
            for name in EdgeSettings::VARIABLES {
                // If a variable cannot be read now, the next request reads it again.
                values.extend(variable(name).await?.map(|value| (name, value)));
            }
            let lookup =
                |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
            // A concurrent request may have set them already.
            let _ = SETTINGS.set(EdgeSettings::read(lookup));
        }
        SETTINGS.get().unwrap_or(&Err(EdgeSettingsError::Unreadable)).as_ref().map_err(|error| *error)
    }
}

/// Returns a variable of the environment, or else of the application, whose variables Spin has only in lower case.
async fn variable(name: &str) -> Result<Option<String>, EdgeSettingsError> {
    if let Some(value) = env::var_os(name) {
        // A value that is not Unicode is not a valid network or number either.
        return Ok(Some(value.to_string_lossy().into_owned()));
    }
    match variables::get(name.to_ascii_lowercase()).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(_) => Err(EdgeSettingsError::Unreadable),
    }
}
