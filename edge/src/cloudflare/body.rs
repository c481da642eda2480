//! The body of a request, as it arrives.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use worker::wasm_bindgen::JsCast as _;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::ReadableStreamDefaultReader;
use worker::{Delay, Request};

use super::platform::Chunk;
use crate::{Body, BodyError};

/// How long a body may take to arrive, all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that is read chunk by chunk, and only as far as it is asked for.
///
/// The SDK's own stream takes a body that was cut for one that ended.
pub(super) struct Incoming<'a> {
    request: &'a Request,
    reader: Option<ReadableStreamDefaultReader>,
    deadline: Option<Pin<Box<Delay>>>,
}

impl<'a> Incoming<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        Self { request, reader: None, deadline: None }
    }
}

impl Body for Incoming<'_> {
    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]>>, BodyError> {
        if self.reader.is_none() {
            let Some(body) = self.request.inner().body() else { return Ok(None) };
            self.reader = Some(body.get_reader().unchecked_into());
        }
        let Some(reader) = &self.reader else { return Ok(None) };
        let mut read = pin!(JsFuture::from(reader.read()));
        let deadline = &mut self.deadline;
        let chunk = poll_fn(|cx| {
            if let Poll::Ready(chunk) = read.as_mut().poll(cx) {
                return Poll::Ready(chunk.map_err(|_| BodyError));
            }
            let deadline = deadline.get_or_insert_with(|| Box::pin(Delay::from(PATIENCE)));
            deadline.as_mut().poll(cx).map(|()| Err(BodyError))
        })
        .await?;
        Ok(chunk.unchecked_into::<Chunk>().value().map(|bytes| bytes.to_vec()))
    }
}
