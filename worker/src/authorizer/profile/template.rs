//! Texts with placeholders.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chargegate_core::Traceparent;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986 section 2.3, and the asterisks of a masked token.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');

/// Value that a template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    DriverToken,
    StationId,
    TraceId,
    SpanId,
    Credential,
    CredentialBase64,
}

/// Placeholders of a request.
pub(super) const OF_REQUEST: &[(&str, Placeholder)] = &[
    ("driver_token", Placeholder::DriverToken),
    ("station_id", Placeholder::StationId),
    ("trace_id", Placeholder::TraceId),
    ("span_id", Placeholder::SpanId),
];

/// Placeholders of the value of the credential's header.
pub(super) const OF_CREDENTIAL: &[(&str, Placeholder)] =
    &[("credential", Placeholder::Credential), ("credential_base64", Placeholder::CredentialBase64)];

/// Values that replace the placeholders of a request.
#[derive(Clone, Copy)]
pub(crate) struct RequestValues<'a> {
    /// The driver token, or a masked form of it where people look.
    pub(crate) driver_token: &'a str,
    /// The station id.
    pub(crate) station_id: &'a str,
    /// The trace context of the call.
    pub(crate) traceparent: &'a Traceparent,
}

impl RequestValues<'_> {
    fn of(&self, placeholder: Placeholder) -> &str {
        match placeholder {
            Placeholder::DriverToken => self.driver_token,
            Placeholder::StationId => self.station_id,
            Placeholder::TraceId => self.traceparent.trace_id(),
            Placeholder::SpanId => self.traceparent.as_str().get(36..52).unwrap_or_default(),
            // Not among the placeholders of a request.
            Placeholder::Credential | Placeholder::CredentialBase64 => "",
        }
    }
}

/// Text with placeholders such as `{driver_token}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Value(Placeholder),
}

impl Template {
    /// Parses a text in which `known` placeholders may occur; `{{` and `}}` are braces.
    ///
    /// # Errors
    /// The reason, without the text around it.
    pub(super) fn parse(text: &str, known: &[(&str, Placeholder)]) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inside = from.strip_prefix('{').and_then(|from| from.split_once('}'));
                let (name, after) = inside.ok_or("a single brace: write {{ or }} for a brace")?;
                let Some((_, placeholder)) = known.iter().find(|(known, _)| *known == name) else {
                    let names: Vec<_> = known.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                    return Err(format!("unknown placeholder; the placeholders are {}", names.join(", ")));
                };
                if !literal.is_empty() {
                    segments.push(Segment::Text(std::mem::take(&mut literal)));
                }
                segments.push(Segment::Value(*placeholder));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Text(literal));
        }
        Ok(Self(segments))
    }

    /// Returns whether a placeholder occurs.
    pub(super) fn has_placeholder(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, Segment::Value(_)))
    }

    /// Returns the text with the values of a request.
    pub(super) fn render(&self, values: &RequestValues<'_>) -> String {
        self.render_with(|placeholder, out| out.push_str(values.of(placeholder)))
    }

    /// Returns the text with the values of a request, percent-encoded (RFC 3986 section 2.1).
    pub(super) fn render_encoded(&self, values: &RequestValues<'_>) -> String {
        self.render_with(|placeholder, out| {
            let _: Result<(), std::fmt::Error> =
                write!(out, "{}", utf8_percent_encode(values.of(placeholder), ENCODED));
        })
    }

    /// Returns the text with a credential.
    pub(super) fn render_credential(&self, credential: &str) -> String {
        self.render_with(|placeholder, out| match placeholder {
            Placeholder::CredentialBase64 => STANDARD.encode_string(credential, out),
            _ => out.push_str(credential),
        })
    }

    fn render_with(&self, mut value: impl FnMut(Placeholder, &mut String)) -> String {
        let mut out = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Text(text) => out.push_str(text),
                Segment::Value(placeholder) => value(*placeholder, &mut out),
            }
        }
        out
    }
}
