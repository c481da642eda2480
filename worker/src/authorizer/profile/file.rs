//! The file format of profiles: TOML without unknown keys. Every error names its line and its key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chargegate_core::Traceparent;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    USER_AGENT,
};
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::json::{JsonPointer, JsonTree};
use super::rule::{AnswerMeaning, AnswerRule, Condition, RuleResult};
use super::template::{OF_CREDENTIAL, OF_REQUEST, RequestValues, Template};
use super::{AclProfile, AclProfileError, CredentialTemplate};

/// Headers that belong to the connection, or that the client computes.
const RESERVED_HEADERS: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    request: RequestTable,
    credential: Option<CredentialTable>,
    response: Option<ResponseTable>,
    answer: Vec<AnswerTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTable {
    method: Spanned<String>,
    path: Spanned<String>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    body: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialTable {
    header: Spanned<String>,
    value: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseTable {
    media_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerTable {
    status: Spanned<Value>,
    #[serde(default, rename = "where")]
    conditions: BTreeMap<String, Spanned<Value>>,
    result: Option<Spanned<String>>,
    pointer: Option<Spanned<String>>,
    values: Option<BTreeMap<String, Spanned<String>>>,
}

/// Parses a profile.
pub(super) fn parse(text: &str) -> Result<AclProfile, AclProfileError> {
    let source = Source(text);
    let file: ProfileFile = toml::from_str(text).map_err(|error| source.syntax_error(&error))?;
    let ProfileFile { request, credential, response, answer } = file;

    let method = source.value("method", &request.method, |method| {
        let upper = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| upper);
        method.filter(|method| *method != Method::CONNECT).ok_or("not a method such as POST")
    })?;
    let path = source.value("path", &request.path, parse_path)?;
    let body = request.body.as_ref();
    let body = body.map(|body| source.value("body", body, parse_body)).transpose()?;
    let mut headers = Vec::new();
    for (name, value) in &request.headers {
        let header = source.value(name, value, |value| parse_header(name, value))?;
        if headers.iter().any(|(given, _)| *given == header.0) {
            return Err(source.error_at(value.span().start, format!("{name}: given twice")));
        }
        headers.push(header);
    }
    let mut add_default = |name: HeaderName, value: &str| {
        if !headers.iter().any(|(given, _)| *given == name) {
            headers.extend(Template::parse(value, &[]).map(|value| (name, value)));
        }
    };
    if body.is_some() {
        add_default(CONTENT_TYPE, "application/json");
    }
    add_default(ACCEPT, "application/json");
    add_default(USER_AGENT, concat!("chargegate/", env!("CARGO_PKG_VERSION")));

    let credential = match credential {
        None => CredentialTemplate::bearer(),
        Some(CredentialTable { header, value }) => CredentialTemplate {
            header: source.value("header", &header, header_name)?,
            value: source.value("value", &value, |text| {
                let template = Template::parse(text, OF_CREDENTIAL)?;
                let usable = HeaderValue::from_str(text).is_ok() && template.has_placeholder();
                if usable { Ok(template) } else { Err("not a header value with {credential}".to_owned()) }
            })?,
        },
    };
    let json = || vec!["application/json".to_owned()];
    let media_types = response.map_or_else(json, |response| response.media_types);
    if answer.is_empty() {
        return Err(AclProfileError { line: 1, message: "answer: write at least one [[answer]]".to_owned() });
    }
    let rules = answer.into_iter().map(|table| source.rule(table)).collect::<Result<_, _>>()?;
    Ok(AclProfile { method, path, headers, body, credential, media_types, rules })
}

/// The text of a profile, for the lines of errors.
struct Source<'a>(&'a str);

impl Source<'_> {
    fn error_at(&self, start: usize, message: String) -> AclProfileError {
        AclProfileError { line: self.line(start), message }
    }

    fn line(&self, offset: usize) -> usize {
        self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
    }

    fn syntax_error(&self, error: &toml::de::Error) -> AclProfileError {
        let start = error.span().map_or(0, |span| span.start);
        // The parser's message may have several lines, and names only unknown and missing keys.
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        let from =
            self.0.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at.saturating_add(1));
        let line = self.0.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !reason.contains(*key));
        let message = key.map(|key| format!("{key}: {reason}")).unwrap_or(reason);
        self.error_at(start, message)
    }

    /// Parses the value of a key.
    fn value<T, E: ToString>(
        &self,
        key: &str,
        value: &Spanned<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, AclProfileError> {
        parse(value.get_ref())
            .map_err(|error| self.error_at(value.span().start, format!("{key}: {}", error.to_string())))
    }

    fn rule(&self, table: AnswerTable) -> Result<AnswerRule, AclProfileError> {
        let AnswerTable { status, conditions, result, pointer, values } = table;
        let start = status.span().start;
        let statuses: Option<Vec<_>> = one_or_more(status.get_ref()).into_iter().map(status_range).collect();
        let statuses = statuses.filter(|statuses| !statuses.is_empty()).ok_or_else(|| {
            self.error_at(
                start,
                "status: write a status from 200 to 599, a class such as \"5xx\", or a list".to_owned(),
            )
        })?;
        let pointer_at = |key: &str, text: &str, at: usize| {
            JsonPointer::parse(text).ok_or_else(|| {
                self.error_at(at, format!("{key}: not a JSON pointer such as \"/data/status\""))
            })
        };
        let conditions = conditions.iter().map(|(pointer, accepted)| {
            let at = accepted.span().start;
            let accepted: Option<Vec<_>> = one_or_more(accepted.get_ref()).into_iter().map(scalar).collect();
            let accepted = accepted.filter(|accepted| !accepted.is_empty()).ok_or_else(|| {
                self.error_at(
                    at,
                    format!("{pointer}: write a string, a whole number, a boolean, or a list of them"),
                )
            })?;
            Ok(Condition { pointer: pointer_at("where", pointer, at)?, accepted })
        });
        let conditions = conditions.collect::<Result<_, AclProfileError>>()?;
        let meaning = |text: &str| AnswerMeaning::parse(text).ok_or(AnswerMeaning::NAMES);
        let result =
            match (result, pointer, values) {
                (Some(result), None, None) => RuleResult::Fixed(self.value("result", &result, |text| {
                    meaning(text).map_err(|names| format!("write {names}"))
                })?),
                (None, Some(pointer), Some(values)) if !values.is_empty() => {
                    let pointer = pointer_at("pointer", pointer.get_ref(), pointer.span().start)?;
                    let values = values.into_iter().map(|(value, name)| {
                        let meaning = self.value(&value, &name, |text| {
                            meaning(text).map_err(|names| format!("write {names}"))
                        })?;
                        Ok((value, meaning))
                    });
                    RuleResult::Listed { pointer, values: values.collect::<Result<_, AclProfileError>>()? }
                }
                _ => {
                    let message = "answer: write either result, or pointer and values";
                    return Err(self.error_at(start, message.to_owned()));
                }
            };
        Ok(AnswerRule { line: self.line(start), statuses, conditions, result })
    }
}

fn parse_path(text: &str) -> Result<Template, String> {
    let template = Template::parse(text, OF_REQUEST)?;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let path = template.render_encoded(&sample_values(&sample_trace()));
    // The client parses URLs by the rules of the web: what it would rewrite, as "..", is refused.
    let url = reqwest::Url::parse(&format!("http://host{path}")).ok();
    let kept = url.is_some_and(|url| {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path()) == path
    });
    if visible && path.starts_with('/') && kept {
        Ok(template)
    } else {
        Err("not a path such as /v1/authorizations, with a query or without, in visible ASCII".to_owned())
    }
}

fn parse_body(text: &str) -> Result<JsonTree<Template>, String> {
    let tree: JsonTree<String> = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    tree.into_template()
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, Template), String> {
    let name = header_name(name)?;
    let template = Template::parse(value, OF_REQUEST)?;
    let rendered = template.render(&sample_values(&sample_trace()));
    HeaderValue::try_from(rendered).map_err(|_| "not a header value".to_owned())?;
    Ok((name, template))
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "not the name of a header".to_owned())?;
    if RESERVED_HEADERS.contains(&name) {
        Err("a header that the client sets itself".to_owned())
    } else {
        Ok(name)
    }
}

/// Values with which templates are tried.
fn sample_values(traceparent: &Traceparent) -> RequestValues<'_> {
    RequestValues { driver_token: "token", station_id: "station", traceparent }
}

fn sample_trace() -> Traceparent {
    Traceparent::new([1; 16], [1; 8])
}

fn one_or_more(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Parses a status such as 404, or a class of statuses such as "5xx".
fn status_range(value: &Value) -> Option<RangeInclusive<u16>> {
    let range = match value {
        Value::Integer(status) => {
            let status = u16::try_from(*status).ok()?;
            status..=status
        }
        Value::String(class) => {
            let first = class.strip_suffix("xx")?.parse::<u16>().ok()?.checked_mul(100)?;
            first..=first.checked_add(99)?
        }
        _ => return None,
    };
    (200..=599).contains(range.start()).then_some(range)
}
