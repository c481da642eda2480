//! AWS Signature Version 4, which authenticates the sender of a request to an AWS service.
//!
//! The signature is sent in headers and covers the complete body. Presigned URLs (a signature in the query), bodies
//! signed in chunks, and Amazon S3, which signs paths without encoding them again, are not supported.
//!
//! The crate does no IO and reads no clock. It is `no_std` and needs only `alloc`.
#![no_std]

extern crate alloc;

mod canonical;
mod credentials;
mod hash;

pub use credentials::{AwsCredentials, AwsCredentialsError};

use alloc::format;
use alloc::string::String;
use core::fmt;

use canonical::CanonicalRequest;
use chargegate_core::{UnixMillis, UtcDateTime};

/// A request as it is sent, without the headers that an [`AwsSignature`] adds.
#[derive(Clone, Copy)]
pub struct UnsignedRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The value of the `Host` header: with the port, unless it is the scheme's default.
    pub host: &'a str,
    /// The path as it is sent, percent-encoded, without empty segments and segments `.` or `..`.
    pub path: &'a str,
    /// The query as it is sent, without `?`: all but unreserved characters percent-encoded with upper-case digits.
    pub query: &'a str,
    /// Further headers to sign, in the order in which they are sent; names in any case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The complete body.
    pub body: &'a [u8],
}

/// The region and service that a signature is valid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningScope<'a> {
    /// The region, such as `eu-central-1`.
    pub region: &'a str,
    /// The service's name in signatures, such as `sqs`.
    pub service: &'a str,
}

/// The headers that sign a request. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsSignature<'a> {
    date: String,
    authorization: String,
    security_token: Option<&'a str>,
}

impl AwsSignature<'_> {
    /// Returns the headers to send in addition to the signed ones: names in lower case, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [("x-amz-date", &*self.date), ("authorization", &self.authorization)];
        always.into_iter().chain(self.security_token.map(|token| ("x-amz-security-token", token)))
    }
}

impl fmt::Debug for AwsSignature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSignature").field("date", &self.date).finish_non_exhaustive()
    }
}

/// Signs `request` for the time `at`; services accept it for some minutes before and after that.
#[must_use]
pub fn sign<'a>(
    request: &UnsignedRequest<'_>,
    scope: SigningScope<'_>,
    credentials: &'a AwsCredentials,
    at: UnixMillis,
) -> AwsSignature<'a> {
    let UtcDateTime { year, month, day, hour, minute, second, .. } = at.utc_date_time();
    let day = format!("{year:04}{month:02}{day:02}");
    let date = format!("{day}T{hour:02}{minute:02}{second:02}Z");
    let security_token = credentials.session_token();
    let canonical = CanonicalRequest::new(request, &date, security_token);

    let SigningScope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let digest = hash::hex(&hash::sha256(canonical.text.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let key = hash::signing_key(credentials.secret_access_key(), [&day, region, service, "aws4_request"]);
    let signature = hash::hex(&hash::hmac_sha256(&key, text.as_bytes()));

    let (key_id, signed) = (credentials.access_key_id(), canonical.signed_headers);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    );
    AwsSignature { date, authorization, security_token }
}
