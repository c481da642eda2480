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
    let mut sorted = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        insert(&mut sorted, parameter.split_once('=').unwrap_or((parameter, "")));
    }
    for (position, (name, value)) in sorted.into_iter().enumerate() {
        out.extend([if position == 0 { "" } else { "&" }, name, "=", value]);
    }
}

/// There are few of them: a real sort would be half of this crate's code.
fn insert<'a>(sorted: &mut Vec<(&'a str, &'a str)>, parameter: (&'a str, &'a str)) {
    let position = sorted.partition_point(|other| *other <= parameter);
    sorted.insert(position, parameter);
}

/// Headers by name, in lower case, the values of one name joined in their order.
fn headers<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in all {
        let name = name.to_ascii_lowercase();
        let position = headers.partition_point(|(other, _)| *other < name);
        match headers.get_mut(position) {
            Some((same, joined)) if *same == name => joined.extend([",", &trimmed(value)]),
            _ => headers.insert(position, (name, trimmed(value))),
        }
    }
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
