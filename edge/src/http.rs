//! Requests and answers, without a host's types.

use std::borrow::Cow;

/// The head of a request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, as it was sent.
    pub method: &'a str,
    /// The path; a query after it is not looked at.
    pub path: &'a str,
    /// The header fields, in order. Names compare without case.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Request<'a> {
    /// The fields that are looked at: a host to which each costs a call need bring no others.
    pub const FIELDS: [&'static str; 5] =
        ["content-length", "content-type", "content-encoding", "idempotency-key", "traceparent"];

    /// The values of a field, one for each time it was sent.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The value of a field that must not be sent twice.
    pub(crate) fn only(&self, name: &str) -> Field<'a> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Field::Absent,
            (Some(value), None) => Field::Once(value),
            (Some(_), Some(_)) => Field::Repeated,
        }
    }
}

/// A field that may be sent once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

/// An answer. It always carries `content-length`.
///
/// To HEAD it is the answer to GET, body included: leaving the body out is the HTTP server's part (RFC 9110 section
/// 9.3.2), and a host may hold the length against the body it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, str>,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        let body = body.into();
        let headers =
            vec![("content-type", content_type.into()), ("content-length", body.len().to_string().into())];
        Self { status, headers, body }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields; the names are in lower case, the values visible ASCII.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_ref()))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The body alone.
    #[must_use]
    pub fn into_body(self) -> Cow<'static, str> {
        self.body
    }
}
