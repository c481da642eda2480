//! The file format of the table: TOML without unknown keys. Every error names its line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::table::{AclStationId, AclTable, AclTokenEntry, TokenAccess};
use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};
use toml::Spanned;
use toml::value::{Datetime, Offset};

impl AclTable {
    /// Returns the table that `chargegate up --demo` uses.
    #[expect(clippy::expect_used, reason = "a test reads the same bytes")]
    pub(crate) fn sample() -> Self {
        parse(include_str!("../../acl.sample.toml")).expect("the sample is valid")
    }

    /// Reads the table from a file.
    ///
    /// # Errors
    /// The file cannot be read or parsed; the error names the file and the line, never a token.
    pub(crate) async fn load(path: &Path) -> Result<Self, AclFileError> {
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(|source| AclFileError::Unreadable { path: path.to_owned(), source })?;
        parse(&text).map_err(|AclLineError { line, message }| AclFileError::Invalid {
            path: path.to_owned(),
            line,
            message,
        })
    }
}

/// Error of [`AclTable::load`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum AclFileError {
    /// The file cannot be read.
    #[error("cannot read {}: name a readable file with --file or CHARGEGATE_ACL_FILE", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file cannot be parsed.
    #[error("{}, line {line}: {message}", .path.display())]
    Invalid { path: PathBuf, line: usize, message: String },
}

#[derive(Debug, PartialEq, Eq)]
struct AclLineError {
    line: usize,
    message: String,
}

fn parse(text: &str) -> Result<AclTable, AclLineError> {
    let error_at = |start: usize, message: &str| AclLineError {
        line: text.bytes().take(start).filter(|byte| *byte == b'\n').count().saturating_add(1),
        // The parser's message may have several lines.
        message: message.lines().collect::<Vec<_>>().join(", "),
    };
    let file: AclFileContent = toml::from_str(text)
        .map_err(|error| error_at(error.span().map_or(0, |span| span.start), error.message()))?;
    let mut table = AclTable::default();
    for row in file.token {
        let token = row.token.get_ref();
        let token_at = row.token.span().start;
        if token.is_empty() {
            return Err(error_at(token_at, "the token is empty"));
        }
        let expires = match &row.expires {
            None => None,
            Some(time) => Some(instant(time.get_ref()).ok_or_else(|| {
                error_at(time.span().start, "write a date, a time and an offset, like 2030-01-31T12:00:00Z")
            })?),
        };
        let access = match row.access {
            TokenAccessValue::All => TokenAccess::All,
            TokenAccessValue::Blocked => TokenAccess::Blocked,
            TokenAccessValue::Revoked => TokenAccess::Revoked,
            TokenAccessValue::Stations(stations) => TokenAccess::Stations(
                stations
                    .iter()
                    .map(|id| {
                        AclStationId::from_text(id.get_ref())
                            .ok_or_else(|| error_at(id.span().start, "a station id is a UUID"))
                    })
                    .collect::<Result<_, _>>()?,
            ),
        };
        table
            .insert(token, AclTokenEntry { access, expires })
            .map_err(|_| error_at(token_at, "this token is already listed"))?;
    }
    Ok(table)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AclFileContent {
    #[serde(default)]
    token: Vec<AclTokenRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AclTokenRow {
    token: Spanned<String>,
    access: TokenAccessValue,
    expires: Option<Spanned<Datetime>>,
}

/// [`TokenAccess`] as the file spells it.
enum TokenAccessValue {
    All,
    Stations(Vec<Spanned<String>>),
    Blocked,
    Revoked,
}

impl<'de> Deserialize<'de> for TokenAccessValue {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokenAccessVisitor)
    }
}

struct TokenAccessVisitor;

impl<'de> Visitor<'de> for TokenAccessVisitor {
    type Value = TokenAccessValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""all", "blocked", "revoked" or a list of station ids"#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TokenAccessValue, E> {
        match text {
            "all" => Ok(TokenAccessValue::All),
            "blocked" => Ok(TokenAccessValue::Blocked),
            "revoked" => Ok(TokenAccessValue::Revoked),
            _ => Err(E::invalid_value(de::Unexpected::Other("another text"), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TokenAccessValue, A::Error> {
        let mut stations = Vec::new();
        while let Some(station) = seq.next_element()? {
            stations.push(station);
        }
        Ok(TokenAccessValue::Stations(stations))
    }
}

/// Returns the instant of a date and time with an offset, or `None` if a part is missing. A time before 1970 becomes
/// 1970.
fn instant(datetime: &Datetime) -> Option<SystemTime> {
    let (date, time) = (datetime.date?, datetime.time?);
    let offset_minutes = match datetime.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    if date.year < 1970 {
        return Some(SystemTime::UNIX_EPOCH);
    }
    let second = time.second.unwrap_or(0);
    let as_utc = format!("{date}T{:02}:{:02}:{second:02}Z", time.hour, time.minute);
    let as_utc = humantime::parse_rfc3339(&as_utc).ok()?;
    let offset = Duration::from_mins(u64::from(offset_minutes.unsigned_abs()));
    if offset_minutes < 0 {
        as_utc.checked_add(offset)
    } else {
        Some(
            as_utc
                .checked_sub(offset)
                .map_or(SystemTime::UNIX_EPOCH, |time| time.max(SystemTime::UNIX_EPOCH)),
        )
    }
}

#[cfg(test)]
mod tests;
