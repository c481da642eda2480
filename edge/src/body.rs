//! The body of a request, read no further than it may be long.

use std::future::Future;

use chargegate_core::MAX_BODY_BYTES;

/// A body that arrives in chunks.
pub trait Body {
    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    /// [`BodyError`]: the body will not arrive whole.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<impl AsRef<[u8]>>, BodyError>>;
}

/// Why a body did not arrive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It was cut short.
    Cut,
    /// It did not arrive in time.
    Late,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// It is longer than a request may be.
    TooLarge,
    /// It did not arrive whole.
    Incomplete(BodyError),
}

/// Reads a whole body, and stops as soon as it is too long.
pub(crate) async fn read(body: &mut impl Body) -> Result<Vec<u8>, ReadError> {
    let mut whole = Vec::new();
    while let Some(chunk) = body.chunk().await.map_err(ReadError::Incomplete)? {
        let chunk = chunk.as_ref();
        if chunk.len() > MAX_BODY_BYTES.saturating_sub(whole.len()) {
            return Err(ReadError::TooLarge);
        }
        whole.extend_from_slice(chunk);
    }
    Ok(whole)
}
