//! Requests and responses, without a host's types.

use std::borrow::Cow;

/// The head of a request.
#[derive(Clone, Copy)]
pub struct EdgeRequest<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path; a query after it is ignored.
    pub path: &'a str,
    /// The header fields, in order. Names compare without case.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> EdgeRequest<'a> {
    /// The fields that are read. A host that pays a call per field needs to pass no others.
    pub const FIELDS: [&'static str; 5] =
        ["content-length", "content-type", "content-encoding", "idempotency-key", "traceparent"];

    /// Returns the values of a field, one for each time it was sent.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Returns the value of a field that must not be sent twice.
    pub(crate) fn single(&self, name: &str) -> HeaderField<'a> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => HeaderField::Absent,
            (Some(value), None) => HeaderField::Once(value),
            (Some(_), Some(_)) => HeaderField::Repeated,
        }
    }
}

/// A header field that may be sent once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderField<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

/// A response. It always carries `content-length`.
///
/// The response to HEAD is that to GET, including the body: omitting the body is the HTTP server's part (RFC 9110
/// section 9.3.2), and a host may compare the length with the body it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeResponse {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, str>,
}

impl EdgeResponse {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        let body = body.into();
        let headers =
            vec![("content-type", content_type.into()), ("content-length", body.len().to_string().into())];
        Self { status, headers, body }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the header fields; names are in lower case, values are visible ASCII.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_ref()))
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Consumes the response and returns the body.
    #[must_use]
    pub fn into_body(self) -> Cow<'static, str> {
        self.body
    }
}
