//! Profiles: the shape of a service's requests and the reading of its responses.

mod file;
mod json;
mod rule;
mod template;

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};

use self::json::JsonTree;
pub(super) use self::rule::AnswerMeaning;
use self::rule::AnswerRule;
pub(super) use self::template::RequestValues;
use self::template::{OF_CREDENTIAL, Template};

/// A profile: how an authorization service is asked, and how its responses are read.
#[derive(Clone, Debug)]
pub struct AclProfile {
    method: Method,
    path: Template,
    headers: Vec<(HeaderName, Template)>,
    body: Option<JsonTree<Template>>,
    credential: CredentialTemplate,
    /// Media types whose bodies are read; `*/*` for all.
    media_types: Vec<String>,
    rules: Vec<AnswerRule>,
}

/// Error in a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct AclProfileError {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key and the reason.
    pub message: String,
}

/// Header that carries the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialTemplate {
    pub(super) header: HeaderName,
    value: Template,
}

/// A request of a profile with its values.
pub(super) struct RenderedRequest {
    pub(super) method: Method,
    /// Path and query, to be appended to the base URL.
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<String>,
}

/// A response as the rules see it.
#[derive(Clone, Copy)]
pub(super) struct ResponseView<'a> {
    pub(super) status: u16,
    pub(super) media_type: &'a str,
    /// `None` if it was not read completely.
    pub(super) body: Option<&'a [u8]>,
}

impl AclProfile {
    /// Names of the built-in profiles; the first is the default.
    pub const BUILT_IN: [&'static str; 2] = ["chargegate", "ocpi-2.2.1"];

    /// Returns the built-in profile `name`.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let text = match name {
            "chargegate" => include_str!("profile/chargegate.toml"),
            "ocpi-2.2.1" => include_str!("profile/ocpi-2.2.1.toml"),
            _ => return None,
        };
        // Always valid, as a test shows.
        Self::parse(text).ok()
    }

    /// Parses a profile in TOML.
    ///
    /// # Errors
    /// [`AclProfileError`] names the line and the key.
    pub fn parse(text: &str) -> Result<Self, AclProfileError> {
        file::parse(text)
    }

    /// Returns the request with its values.
    pub(super) fn request(&self, values: &RequestValues<'_>) -> RenderedRequest {
        let headers = self.headers.iter().filter_map(|(name, template)| {
            // Valid: the parser tried the value, and placeholders have only visible characters.
            let mut value = HeaderValue::try_from(template.render(values)).ok()?;
            value.set_sensitive(template.has_placeholder());
            Some((name.clone(), value))
        });
        RenderedRequest {
            method: self.method.clone(),
            path: self.path.render_encoded(values),
            headers: headers.collect(),
            body: self.body.as_ref().map(|body| body.render(values)),
        }
    }

    /// Returns the header that carries the credential.
    pub(super) fn credential(&self) -> &CredentialTemplate {
        &self.credential
    }

    /// Returns whether the body of a response with this status decides its meaning.
    pub(super) fn reads_body(&self, status: u16) -> bool {
        self.rules.iter().any(|rule| rule.covers(status) && rule.reads_body())
    }

    /// Reads a response by the first rule that matches, and passes each step to `note`. `None` if no rule matches.
    pub(super) fn read(
        &self,
        response: ResponseView<'_>,
        note: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Option<AnswerMeaning> {
        let status = response.status;
        let body = if self.reads_body(status) { self.parse_body(response, note) } else { None };
        for rule in self.rules.iter().filter(|rule| rule.covers(status)) {
            note(format_args!("status {status} is one of the rule of line {}", rule.line));
            if let Some(meaning) = rule.read(body.as_ref(), note) {
                return Some(meaning);
            }
        }
        note(format_args!("no rule matches a response with status {status}"));
        None
    }

    fn parse_body(
        &self,
        response: ResponseView<'_>,
        note: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Option<JsonTree<String>> {
        let essence = response.media_type.split(';').next().unwrap_or_default().trim();
        let accepted = |known: &String| known == "*/*" || known.eq_ignore_ascii_case(essence);
        if !self.media_types.iter().any(accepted) {
            let types = self.media_types.join(" or ");
            note(format_args!("the body is not read: its content type is {essence:?}, not {types}"));
            return None;
        }
        let Some(bytes) = response.body else {
            note(format_args!("the body is not read: it is too large"));
            return None;
        };
        // The parser's message could repeat a secret, so it is not passed on.
        let parsed = serde_json::from_slice(bytes).ok();
        if parsed.is_none() {
            note(format_args!("the body is not JSON, or gives a member twice"));
        }
        parsed
    }
}

impl CredentialTemplate {
    /// Returns the usual form: `Authorization: Bearer`.
    #[expect(clippy::expect_used, reason = "a test uses the same text")]
    pub(super) fn bearer() -> Self {
        let value = Template::parse("Bearer {credential}", OF_CREDENTIAL).expect("a valid template");
        Self { header: AUTHORIZATION, value }
    }

    /// Returns the form of an API key: the credential alone in the header `header`.
    #[expect(clippy::expect_used, reason = "a test uses the same text")]
    pub(super) fn api_key(header: HeaderName) -> Self {
        let value = Template::parse("{credential}", OF_CREDENTIAL).expect("a valid template");
        Self { header, value }
    }

    /// Returns the value of the header, or `None` for a credential with characters that no header may have.
    pub(super) fn value(&self, credential: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(self.value.render_credential(credential)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests;
