//! The body of a request, as it arrives.

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

use super::platform::Chunk;
use crate::http::Field;
use crate::{Body, BodyError};

/// How long a body may take to arrive, all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that is read only as far as it is asked for.
pub(super) struct Incoming<'a> {
    request: &'a Request,
    reading: Reading,
    deadline: Option<Pin<Box<Delay>>>,
}

enum Reading {
    /// Nothing is read yet, and all of it fits: the platform gives no more than was announced.
    Whole,
    /// Nothing is read yet, and how long it is only shows in the reading.
    Unannounced,
    /// Chunk by chunk. The SDK's own stream takes a body that was cut for one that ended.
    Chunks(ReadableStreamDefaultReader),
    /// It was read.
    Done,
}

impl<'a> Incoming<'a> {
    /// The body of `request`, which begins with `head`.
    pub(super) fn of(request: &'a Request, head: crate::Request<'_>) -> Self {
        let length = |value| std::str::from_utf8(value).ok()?.parse::<usize>().ok();
        let reading = match head.only("content-length") {
            Field::Once(value) if length(value).is_some_and(|length| length <= MAX_BODY_BYTES) => {
                Reading::Whole
            }
            _ => Reading::Unannounced,
        };
        Self { request, reading, deadline: None }
    }

    /// Waits as long as the body has.
    async fn in_time(&mut self, promise: Promise) -> Result<JsValue, BodyError> {
        let mut arrival = pin!(JsFuture::from(promise));
        poll_fn(|cx| {
            if let Poll::Ready(arrived) = arrival.as_mut().poll(cx) {
                return Poll::Ready(arrived.map_err(|_| BodyError::Cut));
            }
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(Delay::from(PATIENCE)));
            deadline.as_mut().poll(cx).map(|()| Err(BodyError::Late))
        })
        .await
    }
}

impl Body for Incoming<'_> {
    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]>>, BodyError> {
        if let Reading::Unannounced = self.reading {
            let body = self.request.inner().body();
            self.reading =
                body.map_or(Reading::Done, |body| Reading::Chunks(body.get_reader().unchecked_into()));
        }
        match &self.reading {
            Reading::Whole => {
                self.reading = Reading::Done;
                let whole = self.request.inner().array_buffer().map_err(|_| BodyError::Cut)?;
                self.in_time(whole).await.map(|whole| Some(Uint8Array::new(&whole).to_vec()))
            }
            Reading::Chunks(reader) => {
                let chunk = reader.read();
                let chunk = self.in_time(chunk).await?.unchecked_into::<Chunk>();
                Ok(chunk.value().map(|bytes| bytes.to_vec()))
            }
            Reading::Unannounced | Reading::Done => Ok(None),
        }
    }
}
