//! The body of a request, read as it arrives.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use chargegate_core::MAX_BODY_BYTES;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::ReadableStreamDefaultReader;
use worker::{Delay, Request};

use super::platform::StreamChunk;
use crate::http::HeaderField;
use crate::{EdgeRequest, RequestBody, RequestBodyError};

/// Bounds the time until the complete body has arrived.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A body that is read on demand.
pub(super) struct WorkersRequestBody<'a> {
    request: &'a Request,
    state: BodyReadState,
    deadline: Option<Pin<Box<Delay>>>,
}

enum BodyReadState {
    /// Nothing is read yet, and `content-length` is within the limit; the platform delivers no more than that.
    KnownLength,
    /// Nothing is read yet, and the length becomes known only while reading.
    UnknownLength,
    /// The body is read chunk by chunk. The SDK's own stream does not distinguish a body that was cut from one that
    /// ended.
    Chunks(ReadableStreamDefaultReader),
    /// The body was read.
    Done,
}

impl<'a> WorkersRequestBody<'a> {
    /// Returns the body of `request`, whose head is `head`.
    pub(super) fn new(request: &'a Request, head: EdgeRequest<'_>) -> Self {
        let length = |value| std::str::from_utf8(value).ok()?.parse::<usize>().ok();
        let state = match head.single("content-length") {
            HeaderField::Once(value) if length(value).is_some_and(|length| length <= MAX_BODY_BYTES) => {
                BodyReadState::KnownLength
            }
            _ => BodyReadState::UnknownLength,
        };
        Self { request, state, deadline: None }
    }

    /// Waits for `promise`, until the deadline of the body.
    async fn before_deadline(&mut self, promise: Promise) -> Result<JsValue, RequestBodyError> {
        let mut arrival = pin!(JsFuture::from(promise));
        poll_fn(|cx| {
            if let Poll::Ready(arrived) = arrival.as_mut().poll(cx) {
                return Poll::Ready(arrived.map_err(|_| RequestBodyError::Truncated));
            }
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(Delay::from(BODY_TIMEOUT)));
            deadline.as_mut().poll(cx).map(|()| Err(RequestBodyError::TimedOut))
        })
        .await
    }
}

impl RequestBody for WorkersRequestBody<'_> {
    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]>>, RequestBodyError> {
        if let BodyReadState::UnknownLength = self.state {
            let body = self.request.inner().body();
            self.state = body.map_or(BodyReadState::Done, |body| {
                BodyReadState::Chunks(body.get_reader().unchecked_into())
            });
        }
        match &self.state {
            BodyReadState::KnownLength => {
                self.state = BodyReadState::Done;
                let buffer = self.request.inner().array_buffer().map_err(|_| RequestBodyError::Truncated)?;
                self.before_deadline(buffer).await.map(|buffer| Some(Uint8Array::new(&buffer).to_vec()))
            }
            BodyReadState::Chunks(reader) => {
                let chunk = reader.read();
                let chunk = self.before_deadline(chunk).await?.unchecked_into::<StreamChunk>();
                Ok(chunk.value().map(|bytes| bytes.to_vec()))
            }
            BodyReadState::UnknownLength | BodyReadState::Done => Ok(None),
        }
    }
}
