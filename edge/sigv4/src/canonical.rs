//! The canonical form of a request, which sender and service derive independently.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::{UnsignedRequest, hash};

/// A request in canonical form.
pub(crate) struct CanonicalRequest {
    pub(crate) text: String,
    /// The names of its headers, separated by semicolons.
    pub(crate) signed_headers: String,
}

impl CanonicalRequest {
    pub(crate) fn new(request: &UnsignedRequest<'_>, date: &str, security_token: Option<&str>) -> Self {
        let mut text = String::with_capacity(512);
        text.push_str(request.method);
        text.push('\n');
        write_path(&mut text, request.path);
        text.push('\n');
        write_query(&mut text, request.query);
        text.push('\n');

        let mut signed_headers = String::new();
        let added = [("host", request.host), ("x-amz-date", date)];
        let token = security_token.map(|token| ("x-amz-security-token", token));
        for (name, value) in canonical_headers(request.headers.iter().copied().chain(added).chain(token)) {
            text.extend([&*name, ":", &*value, "\n"]);
            signed_headers.extend([if signed_headers.is_empty() { "" } else { ";" }, &*name]);
        }
        let body = hash::hex(&hash::sha256(request.body));
        text.extend(["\n", &*signed_headers, "\n", &*body]);
        Self { text, signed_headers }
    }
}

/// Writes the path, encoded once more than on the wire, as every service except Amazon S3 requires.
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

/// Writes the parameters sorted by name, then by value, each with an equals sign.
fn write_query(out: &mut String, query: &str) {
    let mut sorted = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        insert_sorted(&mut sorted, parameter.split_once('=').unwrap_or((parameter, "")));
    }
    for (position, (name, value)) in sorted.into_iter().enumerate() {
        out.extend([if position == 0 { "" } else { "&" }, name, "=", value]);
    }
}

/// Inserts a parameter at its sorted position. Queries are short, and `sort` would be half of this crate's code.
fn insert_sorted<'a>(sorted: &mut Vec<(&'a str, &'a str)>, parameter: (&'a str, &'a str)) {
    let position = sorted.partition_point(|other| *other <= parameter);
    sorted.insert(position, parameter);
}

/// Returns the headers sorted by lowercase name, the values of a repeated name joined in their order.
fn canonical_headers<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in all {
        let name = name.to_ascii_lowercase();
        let position = headers.partition_point(|(other, _)| *other < name);
        match headers.get_mut(position) {
            Some((same, joined)) if *same == name => joined.extend([",", &collapse_spaces(value)]),
            _ => headers.insert(position, (name, collapse_spaces(value))),
        }
    }
    headers
}

/// Trims the spaces at both ends and reduces each run of spaces to one.
fn collapse_spaces(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        out.extend([if out.is_empty() { "" } else { " " }, word]);
    }
    out
}
