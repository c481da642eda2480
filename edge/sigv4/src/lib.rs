//! AWS Signature Version 4: what a request to an AWS service carries to prove who sends it.
//!
//! Requests are signed in their headers, bodies whole. What this does not do: signatures in the query (presigned
//! URLs), bodies signed in chunks, and the odd rules of Amazon S3, which signs paths as they are.
//!
//! There is no IO and no clock. The crate is `no_std` and needs only `alloc`.
#![no_std]

extern crate alloc;

mod canonical;
mod credentials;
mod hash;

pub use credentials::{Credentials, CredentialsError};

use alloc::format;
use alloc::string::String;
use core::fmt;

use chargegate_core::{DateTime, UnixMillis};

/// A request as it is sent, without what a [`Signature`] adds.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, in capital letters.
    pub method: &'a str,
    /// The value of the `Host` header: with the port, unless it is the scheme's own.
    pub host: &'a str,
    /// The path as it is sent, percent-encoded, without empty segments and segments `.` or `..`.
    pub path: &'a str,
    /// The query as it is sent, without `?`: all but unreserved characters percent-encoded in capital letters.
    pub query: &'a str,
    /// Headers that are signed too, in the order in which they are sent; names in any case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
}

/// Where a signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The region, like `eu-central-1`.
    pub region: &'a str,
    /// The service by its name in signatures, like `sqs`.
    pub service: &'a str,
}

/// The headers that sign a request. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    date: String,
    authorization: String,
    security_token: Option<&'a str>,
}

impl Signature<'_> {
    /// The headers to send beside those that were signed: names in lower case, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let own = [("x-amz-date", &*self.date), ("authorization", &self.authorization)];
        own.into_iter().chain(self.security_token.map(|token| ("x-amz-security-token", token)))
    }
}

impl fmt::Debug for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("date", &self.date).finish_non_exhaustive()
    }
}

/// Signs `request` at the moment `at`; services take it for some minutes before and after that.
#[must_use]
pub fn sign<'a>(
    request: &Request<'_>,
    scope: Scope<'_>,
    credentials: &'a Credentials,
    at: UnixMillis,
) -> Signature<'a> {
    let DateTime { year, month, day, hour, minute, second, .. } = at.date_time();
    let day = format!("{year:04}{month:02}{day:02}");
    let date = format!("{day}T{hour:02}{minute:02}{second:02}Z");
    let security_token = credentials.session_token();
    let canonical = canonical::Request::new(request, &date, security_token);

    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let digest = hash::hex(&hash::sha256(canonical.text.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let key = hash::key(credentials.secret_access_key(), [&day, region, service, "aws4_request"]);
    let signature = hash::hex(&hash::hmac(&key, text.as_bytes()));

    let (key_id, signed) = (credentials.access_key_id(), canonical.signed_headers);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    );
    Signature { date, authorization, security_token }
}
