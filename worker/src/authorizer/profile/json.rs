//! JSON texts as trees: members keep their order, and a member given twice is refused.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::template::{OF_REQUEST, RequestValues, Template};

/// A JSON value whose strings are of type `S`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum JsonTree<S> {
    Null,
    Bool(bool),
    Number(Number),
    Text(S),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl JsonTree<String> {
    /// Returns the value that `pointer` names.
    pub(super) fn lookup(&self, pointer: &JsonPointer) -> Option<&Self> {
        pointer.0.iter().try_fold(self, |value, token| match value {
            Self::Object(members) => members.iter().find(|(name, _)| name == token).map(|(_, value)| value),
            Self::List(items) => items.get(array_index(token)?),
            _ => None,
        })
    }

    /// Returns a string as it is, and a number, a boolean or null as it is written; `None` for a list or an object.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::Null => Some("null".to_owned()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Parses the placeholders of every string; names of members have none.
    pub(super) fn into_template(self) -> Result<JsonTree<Template>, String> {
        Ok(match self {
            Self::Null => JsonTree::Null,
            Self::Bool(value) => JsonTree::Bool(value),
            Self::Number(number) => JsonTree::Number(number),
            Self::Text(text) => JsonTree::Text(Template::parse(&text, OF_REQUEST)?),
            Self::List(items) => {
                JsonTree::List(items.into_iter().map(Self::into_template).collect::<Result<_, _>>()?)
            }
            Self::Object(members) => JsonTree::Object(
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, value.into_template()?)))
                    .collect::<Result<_, String>>()?,
            ),
        })
    }
}

impl JsonTree<Template> {
    /// Returns the JSON text with the values of a request.
    pub(super) fn render(&self, values: &RequestValues<'_>) -> String {
        let mut out = String::with_capacity(128);
        self.write(values, &mut out);
        out
    }

    fn write(&self, values: &RequestValues<'_>, out: &mut String) {
        let quoted = |text: String| serde_json::Value::String(text).to_string();
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(template) => out.push_str(&quoted(template.render(values))),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write(values, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(name.clone()));
                    out.push(':');
                    value.write(values, out);
                }
                out.push('}');
            }
        }
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonPointer(Vec<String>);

impl JsonPointer {
    /// Parses a pointer; `None` if it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let tokens = text.strip_prefix('/')?.split('/').map(|token| {
            let mut escapes = token.split('~').skip(1);
            let valid = escapes.all(|after| after.starts_with(['0', '1']));
            // In this order, so that "~01" becomes "~1" (section 4).
            valid.then(|| token.replace("~1", "/").replace("~0", "~"))
        });
        tokens.collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// Parses an index into an array: digits without leading zeros (RFC 6901 section 4).
fn array_index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (token.len() > 1 && token.starts_with('0')) {
        return None;
    }
    token.parse().ok()
}

impl<'de> Deserialize<'de> for JsonTree<String> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonTreeVisitor)
    }
}

struct JsonTreeVisitor;

impl<'de> Visitor<'de> for JsonTreeVisitor {
    type Value = JsonTree<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(JsonTree::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(JsonTree::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(JsonTree::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(JsonTree::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Number::from_f64(value).map(JsonTree::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonTree::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(JsonTree::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(JsonTree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, JsonTree<String>)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, _>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom("a member is given twice"));
            }
            members.push((name, value));
        }
        Ok(JsonTree::Object(members))
    }
}
