//! The body of a request, read up to the size limit.

use std::future::Future;

use chargegate_core::MAX_BODY_BYTES;

/// A body that arrives in chunks.
pub trait RequestBody {
    /// Returns the next bytes, or `None` at the end.
    ///
    /// # Errors
    /// [`RequestBodyError`]: the body will not arrive completely.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<impl AsRef<[u8]>>, RequestBodyError>>;
}

/// The reason why a body did not arrive completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBodyError {
    /// The body was cut short.
    Truncated,
    /// The body did not arrive in time.
    TimedOut,
}

/// The reason why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadBodyError {
    /// The body is longer than a request may be.
    TooLarge,
    /// The body did not arrive completely.
    Incomplete(RequestBodyError),
}

/// Reads a complete body, and stops as soon as it is too long.
pub(crate) async fn read_body(body: &mut impl RequestBody) -> Result<Vec<u8>, ReadBodyError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await.map_err(ReadBodyError::Incomplete)? {
        let chunk = chunk.as_ref();
        if chunk.len() > MAX_BODY_BYTES.saturating_sub(bytes.len()) {
            return Err(ReadBodyError::TooLarge);
        }
        bytes.extend_from_slice(chunk);
    }
    Ok(bytes)
}
