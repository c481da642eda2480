//! A JSON parser (RFC 8259) that extracts named members of one object and skips the rest, and a string writer.
//!
//! It is hand-written because the contract distinguishes duplicate members, excessive depth and wrong types, in one pass
//! and without allocation. Property tests compare it with `serde_json`.

use alloc::borrow::Cow;
use alloc::string::String;

/// Largest accepted nesting depth of objects and arrays, the outermost included.
pub const MAX_DEPTH: u8 = 32;

/// The reason why a text is not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonSyntaxError {
    /// It is not exactly one JSON text in UTF-8.
    NotJson,
    /// It is nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// The occurrences of a named member in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonMember<'a> {
    /// The member is missing.
    Missing,
    /// The member occurs once.
    Once(JsonValue<'a>),
    /// The member occurs more than once.
    Repeated,
}

/// A value: strings and numbers as written, any other only by the fact that it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonValue<'a> {
    /// A string.
    String(RawJsonString<'a>),
    /// A number.
    Number(&'a str),
    /// An object, an array, `true`, `false` or `null`.
    Other,
}

/// The content of a string literal, with its escapes not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawJsonString<'a> {
    raw: &'a str,
    escaped: bool,
}

/// The named members of an object.
#[derive(Debug)]
pub struct JsonMembers<'a, const N: usize> {
    /// The members with the requested names, in the order of the request.
    pub named: [JsonMember<'a>; N],
    /// `true` if the object has members with other names.
    pub others: bool,
}

/// Parses `text` and returns its members called `names`, or `None` if it is valid JSON but not an object.
///
/// # Errors
/// [`JsonSyntaxError`] if it is not valid JSON, or nested too deep.
pub fn read_object<'a, const N: usize>(
    text: &'a [u8],
    names: [&str; N],
) -> Result<Option<JsonMembers<'a, N>>, JsonSyntaxError> {
    let mut found = [JsonMember::Missing; N];
    let others = read_members(text, &names, &mut found)?;
    Ok(others.map(|others| JsonMembers { named: found, others }))
}

/// Stores the members called `names` in `found` and returns `true` if there are others.
///
/// It is not generic over the number of names, so that the parser is compiled once.
fn read_members<'a>(
    text: &'a [u8],
    names: &[&str],
    found: &mut [JsonMember<'a>],
) -> Result<Option<bool>, JsonSyntaxError> {
    let text = core::str::from_utf8(text).map_err(|_| JsonSyntaxError::NotJson)?;
    let mut reader = JsonReader { text, at: 0 };
    reader.skip_space();
    if reader.peek() != Some(b'{') {
        reader.value(0)?;
        reader.end()?;
        return Ok(None);
    }
    let mut others = false;
    reader.object(1, |name, value| {
        match found.iter_mut().zip(names).find(|(_, wanted)| name.is(wanted)) {
            Some((slot @ JsonMember::Missing, _)) => *slot = JsonMember::Once(value),
            Some((slot, _)) => *slot = JsonMember::Repeated,
            None => others = true,
        }
    })?;
    reader.end()?;
    Ok(Some(others))
}

struct JsonReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonReader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), JsonSyntaxError> {
        if self.next() == Some(wanted) { Ok(()) } else { Err(JsonSyntaxError::NotJson) }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn end(&mut self) -> Result<(), JsonSyntaxError> {
        self.skip_space();
        if self.peek().is_none() { Ok(()) } else { Err(JsonSyntaxError::NotJson) }
    }

    fn value(&mut self, depth: u8) -> Result<JsonValue<'a>, JsonSyntaxError> {
        match self.peek() {
            Some(b'"') => Ok(JsonValue::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(JsonValue::Number(self.number()?)),
            Some(b'{') => self.object(depth + 1, |_, _| {}).map(|()| JsonValue::Other),
            Some(b'[') => self.array(depth + 1).map(|()| JsonValue::Other),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(JsonSyntaxError::NotJson),
        }
    }

    fn literal(&mut self, word: &str) -> Result<JsonValue<'a>, JsonSyntaxError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(JsonSyntaxError::NotJson);
        }
        self.at += word.len();
        Ok(JsonValue::Other)
    }

    fn object(
        &mut self,
        depth: u8,
        mut member: impl FnMut(RawJsonString<'a>, JsonValue<'a>),
    ) -> Result<(), JsonSyntaxError> {
        self.list(depth, b'}', |reader| {
            let name = reader.string()?;
            reader.skip_space();
            reader.expect(b':')?;
            reader.skip_space();
            let value = reader.value(depth)?;
            member(name, value);
            Ok(())
        })
    }

    fn array(&mut self, depth: u8) -> Result<(), JsonSyntaxError> {
        self.list(depth, b']', |reader| reader.value(depth).map(drop))
    }

    /// Parses from the opening to the closing bracket, with `item` for each element between the commas.
    fn list(
        &mut self,
        depth: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonSyntaxError>,
    ) -> Result<(), JsonSyntaxError> {
        if depth > MAX_DEPTH {
            return Err(JsonSyntaxError::TooDeep);
        }
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            self.skip_space();
            match self.next() {
                Some(b',') => self.skip_space(),
                Some(byte) if byte == close => return Ok(()),
                _ => return Err(JsonSyntaxError::NotJson),
            }
        }
    }

    fn string(&mut self) -> Result<RawJsonString<'a>, JsonSyntaxError> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_length(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(RawJsonString { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(JsonSyntaxError::NotJson),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonSyntaxError> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                for _ in 0..4 {
                    if !self.next().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(JsonSyntaxError::NotJson);
                    }
                }
                Ok(())
            }
            _ => Err(JsonSyntaxError::NotJson),
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonSyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Result<(), JsonSyntaxError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(JsonSyntaxError::NotJson) }
    }
}

impl<'a> RawJsonString<'a> {
    fn is(&self, text: &str) -> bool {
        if self.escaped { self.decode() == text } else { self.raw == text }
    }

    /// Decodes the escapes. Half of a surrogate pair becomes U+FFFD, which no field of the contract accepts.
    #[must_use]
    pub fn decode(&self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((plain, tail)) = rest.split_once('\\') {
            text.push_str(plain);
            let mut tail = tail.chars();
            match tail.next() {
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('u') => {
                    let (character, length) = unicode_escape(tail.as_str());
                    text.push(character);
                    rest = tail.as_str().get(length..).unwrap_or_default();
                    continue;
                }
                Some(escaped) => text.push(escaped),
                None => {}
            }
            rest = tail.as_str();
        }
        text.push_str(rest);
        Cow::Owned(text)
    }
}

/// Decodes the digits after `\u`; returns the character and the number of bytes of `text` that encode it.
fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let first = unit(0).unwrap_or(0xfffd);
    let second = if text.get(4..6) == Some("\\u") { unit(6) } else { None };
    match char::decode_utf16([first].into_iter().chain(second)).next() {
        Some(Ok(character)) if character.len_utf16() == 2 => (character, 10),
        Some(Ok(character)) => (character, 4),
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}

/// Returns the number of bytes before the first one that must be escaped in a string literal: a quotation mark, a
/// backslash or a control character (RFC 8259 section 7).
fn plain_length(text: &[u8]) -> usize {
    // Eight bytes at a time (SWAR). `below` sets the high bit of each byte that is less than the bound; equality with a
    // character is tested by an exclusive or, which turns an equal byte into zero. A borrow can set a wrong bit only
    // above the lowest correct one, and only the lowest is used. Bytes outside ASCII are not marked by themselves.
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    const fn below(word: u64, bound: u64) -> u64 {
        word.wrapping_sub(ONES * bound) & !word & HIGHS
    }
    let mut length = 0;
    let mut rest = text;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let special = below(word, 0x20) | below(word ^ (ONES * 0x22), 1) | below(word ^ (ONES * 0x5c), 1);
        if special != 0 {
            return length + usize::try_from(special.trailing_zeros() / 8).unwrap_or(0);
        }
        length += 8;
        rest = tail;
    }
    length + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
}

/// Appends `text` to `out` as a string literal.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_at_checked(plain_length(rest.as_bytes())) {
        out.push_str(plain);
        let Some(special) = tail.chars().next() else { break };
        match special {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control => {
                let digit = |nibble: u32| char::from_digit(nibble & 0x0f, 16).unwrap_or('0');
                let code = u32::from(control);
                out.push_str("\\u00");
                out.push(digit(code >> 4));
                out.push(digit(code));
            }
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
