//! One HTTP/1.1 exchange with a receiver (RFC 9112).
//!
//! Only the status of a response counts. So its head is read as leniently as HTTP clients in the field do: a malformed
//! header field is ignored instead of refusing the response that contains it. A body whose length is not beyond doubt
//! ends the connection, so that no byte of it is ever read as the next response.

use std::io;
use std::ops::Range;
use std::time::Duration;

use chargegate_core::UnixMillis;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::retry_after;

/// Status by which a proxy asks for credentials (RFC 9110 section 15.5.8).
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;
/// Most bytes read of the head of a response, those of interim responses included.
const MAX_HEAD: usize = 16 * 1024;
/// Most bytes read of a body so that the connection can be reused.
const MAX_BODY: usize = 16 * 1024;
/// Longest time for reading a body so that the connection can be reused.
const BODY_TIMEOUT: Duration = Duration::from_millis(250);

/// The head of a final response, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    /// The wait that the receiver asks for.
    pub(super) retry_after: Option<Duration>,
    /// Whether a proxy asks for credentials.
    pub(super) asks_proxy_credentials: bool,
    framing: BodyFraming,
}

/// The end of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyFraming {
    /// After this number of bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection, or in doubt.
    Close,
}

/// The bytes that were read after the head of a response, and the end of its body.
#[derive(Debug)]
pub(super) struct UnreadBody {
    framing: BodyFraming,
    bytes: Vec<u8>,
}

/// The reason why an exchange yields no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// The connection ended before the first byte of a response.
    #[error("the connection ended without a response")]
    NoResponse(#[source] io::Error),
    /// The response is truncated, not HTTP/1, or its head is too long.
    #[error("the response is not one of HTTP/1")]
    Malformed,
}

/// Sends a request and reads the head of the response, which may arrive before the request is sent completely. `now` is
/// the time for a date in `Retry-After`.
///
/// # Errors
/// [`ExchangeError`].
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    now: UnixMillis,
) -> Result<(ResponseHead, UnreadBody), ExchangeError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = read_head(&mut reader, now);
    tokio::pin!(reading);
    let writing = async {
        writer.write_all(request).await?;
        writer.flush().await
    };
    tokio::select! {
        biased;
        written = writing => match (written, reading.await) {
            (_, Ok(response)) => Ok(response),
            (Err(error), Err(ExchangeError::NoResponse(_))) => Err(ExchangeError::NoResponse(error)),
            (_, Err(error)) => Err(error),
        },
        // The rest of the request is not sent, so the connection cannot be reused.
        response = &mut reading => {
            let (head, body) = response?;
            Ok((head, UnreadBody { framing: BodyFraming::Close, ..body }))
        }
    }
}

async fn read_head<R: AsyncRead + Unpin>(
    reader: &mut R,
    now: UnixMillis,
) -> Result<(ResponseHead, UnreadBody), ExchangeError> {
    let mut bytes = Vec::with_capacity(1024);
    let mut scan = HeadScan::default();
    loop {
        while let Some(head) = scan.next_head(&bytes) {
            let head = bytes.get(head).and_then(|head| ResponseHead::parse(head, now));
            let head = head.ok_or(ExchangeError::Malformed)?;
            // 101 is final: no other protocol was offered.
            if head.status >= 200 || head.status == 101 {
                bytes.drain(..scan.head_start);
                return Ok((head, UnreadBody { framing: head.framing, bytes }));
            }
        }
        if bytes.len() >= MAX_HEAD || !bytes.get(scan.head_start..).is_some_and(may_be_http) {
            return Err(ExchangeError::Malformed);
        }
        let mut limited = reader.take(u64::try_from(MAX_HEAD - bytes.len()).unwrap_or(0));
        match limited.read_buf(&mut bytes).await {
            Ok(0) if bytes.is_empty() => {
                return Err(ExchangeError::NoResponse(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(0) => return Err(ExchangeError::Malformed),
            Ok(_) => {}
            Err(error) if bytes.is_empty() => return Err(ExchangeError::NoResponse(error)),
            Err(_) => return Err(ExchangeError::Malformed),
        }
    }
}

/// Returns whether the bytes may be the begin of a response, or of an empty line before it.
fn may_be_http(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"HTTP/1.";
    bytes == b"\r" || bytes.iter().zip(BEGIN).all(|(found, expected)| found == expected)
}

/// The progress of a search for the ends of heads, so that no byte is looked at twice, however slowly they arrive.
#[derive(Debug, Default)]
struct HeadScan {
    head_start: usize,
    line_start: usize,
    /// No line ends between the start of the line and this position.
    position: usize,
}

impl HeadScan {
    /// Returns the position of the next head with its empty line, once that has arrived. Empty lines before it are ignored
    /// (RFC 9112 section 2.2).
    fn next_head(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        loop {
            let Some(len) = bytes.get(self.position..)?.iter().position(|byte| *byte == b'\n') else {
                self.position = bytes.len();
                return None;
            };
            let line_start = self.line_start;
            let line = bytes.get(line_start..self.position + len);
            self.position += len + 1;
            self.line_start = self.position;
            if !matches!(line, Some([] | [b'\r'])) {
                continue;
            }
            let head = self.head_start..self.line_start;
            self.head_start = self.line_start;
            if head.start < line_start {
                return Some(head);
            }
        }
    }
}

impl ResponseHead {
    /// Parses a head. Returns `None` if its first line is not a status line of HTTP/1.
    fn parse(head: &[u8], now: UnixMillis) -> Option<Self> {
        let mut lines = head.split(|byte| *byte == b'\n').map(trim_line_end);
        let (status, is_persistent) = parse_status_line(lines.next()?)?;
        let mut fields = HeaderFields::default();
        for line in lines {
            // A line that begins with a space continues the value before it (obs-fold); no field of interest is folded.
            if let Some(colon) = line.iter().position(|byte| *byte == b':')
                && !line.starts_with(b" ")
                && !line.starts_with(b"\t")
                && let (name, Some((_, value))) = (line.get(..colon)?, line.get(colon..)?.split_first())
            {
                fields.add(name.trim_ascii_end(), value.trim_ascii(), now);
            }
        }
        let framing = match status {
            101 => BodyFraming::Close,
            _ if !is_persistent || fields.closes => BodyFraming::Close,
            204 | 304 => BodyFraming::Length(0),
            _ => fields.framing(),
        };
        let asks_proxy_credentials = status == PROXY_AUTHENTICATION_REQUIRED && fields.proxy_authenticate;
        Some(Self { status, retry_after: fields.retry_after, asks_proxy_credentials, framing })
    }
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the status, and whether the connection persists by default.
fn parse_status_line(line: &[u8]) -> Option<(u16, bool)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b" ").filter(|_| version.is_ascii_digit())?.trim_ascii_start();
    let (digits, reason) = rest.split_at_checked(3)?;
    let status = std::str::from_utf8(digits).ok()?.parse().ok().filter(|status| *status >= 100)?;
    let is_status =
        digits.iter().all(u8::is_ascii_digit) && matches!(reason.first(), None | Some(b' ' | b'\t'));
    is_status.then_some((status, *version != b'0'))
}

/// The header fields that count.
#[derive(Debug, Default)]
struct HeaderFields {
    closes: bool,
    length: Option<Vec<u8>>,
    lengths: u32,
    encoding: Option<Vec<u8>>,
    retry_after: Option<Duration>,
    proxy_authenticate: bool,
}

impl HeaderFields {
    fn add(&mut self, name: &[u8], value: &[u8], now: UnixMillis) {
        if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            self.length = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Several fields are one list; a list of more than `chunked` is not decoded.
            let value =
                if self.encoding.is_some() { b"several".to_vec() } else { value.to_ascii_lowercase() };
            self.encoding = Some(value);
        } else if name.eq_ignore_ascii_case(b"proxy-authenticate") {
            self.proxy_authenticate = true;
        } else if name.eq_ignore_ascii_case(b"retry-after") && self.retry_after.is_none() {
            self.retry_after = retry_after::parse(value, now);
        }
    }

    fn framing(&self) -> BodyFraming {
        match (self.encoding.as_deref(), self.length.as_deref()) {
            (Some(b"chunked"), None) => BodyFraming::Chunked,
            (None, Some(digits)) if self.lengths == 1 && digits.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                length.map_or(BodyFraming::Close, BodyFraming::Length)
            }
            _ => BodyFraming::Close,
        }
    }
}

impl UnreadBody {
    /// Returns whether no byte followed the head.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns whether the connection ends with the body, whatever follows.
    pub(super) fn ends_connection(&self) -> bool {
        self.framing == BodyFraming::Close
    }

    /// Returns whether the whole body has been read.
    pub(super) fn is_read(&self) -> bool {
        self.remaining() == BodyRemainder::None
    }

    /// Reads the rest of the body, if it is short and arrives soon. Returns whether the connection can be reused.
    pub(super) async fn drain<R: AsyncRead + Unpin>(mut self, reader: &mut R) -> bool {
        let read = async {
            loop {
                match self.remaining() {
                    BodyRemainder::None => return true,
                    BodyRemainder::Some if self.bytes.len() < MAX_BODY => {}
                    BodyRemainder::Some | BodyRemainder::Malformed => return false,
                }
                let mut limited = reader.take(u64::try_from(MAX_BODY - self.bytes.len()).unwrap_or(0));
                if !matches!(limited.read_buf(&mut self.bytes).await, Ok(1..)) {
                    return false;
                }
            }
        };
        tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or(false)
    }

    fn remaining(&self) -> BodyRemainder {
        match self.framing {
            BodyFraming::Close => BodyRemainder::Malformed,
            BodyFraming::Length(length) => {
                let read = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
                match read.cmp(&length) {
                    std::cmp::Ordering::Less => BodyRemainder::Some,
                    std::cmp::Ordering::Equal => BodyRemainder::None,
                    // Unsolicited bytes.
                    std::cmp::Ordering::Greater => BodyRemainder::Malformed,
                }
            }
            BodyFraming::Chunked => remaining_chunks(&self.bytes),
        }
    }
}

/// The part of a body that has not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyRemainder {
    None,
    Some,
    Malformed,
}

/// Steps through the chunks of a body (RFC 9112 section 7.1). Trailer fields count as malformed: nobody needs them here.
fn remaining_chunks(mut bytes: &[u8]) -> BodyRemainder {
    loop {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return if bytes.len() > 64 { BodyRemainder::Malformed } else { BodyRemainder::Some };
        };
        let (line, rest) = bytes.split_at(end);
        let rest = rest.get(2..).unwrap_or_default();
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size =
            std::str::from_utf8(size).ok().filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            return BodyRemainder::Malformed;
        };
        let chunk_end = size.saturating_add(2);
        bytes = match rest.split_at_checked(chunk_end) {
            Some((chunk, _)) if !chunk.ends_with(b"\r\n") => return BodyRemainder::Malformed,
            Some((_, [])) if size == 0 => return BodyRemainder::None,
            Some(_) if size == 0 => return BodyRemainder::Malformed,
            Some((_, rest)) => rest,
            None => return BodyRemainder::Some,
        };
    }
}

#[cfg(test)]
mod tests;
