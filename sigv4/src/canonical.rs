//! The one form that sender and service bring a request into.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::hash;

/// A request in canonical form.
pub(crate) struct Request {
    pub(crate) text: String,
    /// The names of its headers, separated by semicolons.
    pub(crate) signed_headers: String,
}

impl Request {
    pub(crate) fn new(request: &crate::Request<'_>, date: &str, security_token: Option<&str>) -> Self {
        let mut text = String::with_capacity(512);
        text.push_str(request.method);
        text.push('\n');
        write_path(&mut text, request.path);
        text.push('\n');
        write_query(&mut text, request.query);
        text.push('\n');

        let mut signed_headers = String::new();
        let own = [("host", request.host), ("x-amz-date", date)];
        let token = security_token.map(|token| ("x-amz-security-token", token));
        for (name, value) in headers(request.headers.iter().copied().chain(own).chain(token)) {
            text.extend([&*name, ":", &*value, "\n"]);
            signed_headers.extend([if signed_headers.is_empty() { "" } else { ";" }, &*name]);
        }
        let body = hash::hex(&hash::sha256(request.body));
        text.extend(["\n", &*signed_headers, "\n", &*body]);
        Self { text, signed_headers }
    }
}

/// The path is encoded once more than it is sent, as every service but Amazon S3 has it.
fn write_path(out: &mut String, path: &str) {
    if path.is_empty() {
        out.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The parameters by name, then by value, each with its equals sign.
fn write_query(out: &mut String, query: &str) {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<_> =
        parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, ""))).collect();
    parameters.sort_unstable();
    for (position, (name, value)) in parameters.into_iter().enumerate() {
        out.extend([if position == 0 { "" } else { "&" }, name, "=", value]);
    }
}

/// Headers by name, in lower case, the values of one name joined in their order.
fn headers<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = all.map(|(name, value)| (name.to_ascii_lowercase(), trimmed(value))).collect();
    // A stable sort: values of one name stay in order.
    headers.sort_by(|(left, _), (right, _)| left.cmp(right));
    headers.dedup_by(|(name, value), (kept, joined)| {
        let is_same = name == kept;
        if is_same {
            joined.extend([",", value]);
        }
        is_same
    });
    headers
}

/// A value without spaces at its ends, and with one where there are several.
fn trimmed(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        out.extend([if out.is_empty() { "" } else { " " }, word]);
    }
    out
}
