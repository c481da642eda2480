//! The host of callback URLs, as operators name it.

use std::fmt;
use std::str::FromStr;

use chargegate_core::CallbackUrl;
use serde::{Deserialize, Serialize};

/// The host of callback URLs as stored: a name in lower case, or a literal address, IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReceiverHostName(Box<str>);

/// The text is not the host of a callback URL alone. It may contain a secret and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a host as in callback URLs, such as receiver.example or [2001:db8::1], without scheme, port and path"
)]
pub struct ReceiverHostNameError;

impl ReceiverHostName {
    /// Returns the host.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ReceiverHostName {
    type Err = ReceiverHostNameError;

    fn from_str(text: &str) -> Result<Self, ReceiverHostNameError> {
        let url: CallbackUrl = format!("http://{text}/").parse().map_err(|_| ReceiverHostNameError)?;
        let host = url.host_str();
        let is_alone = url.as_str() == format!("http://{host}/");
        if is_alone { Ok(Self(host.into())) } else { Err(ReceiverHostNameError) }
    }
}

impl TryFrom<String> for ReceiverHostName {
    type Error = ReceiverHostNameError;

    fn try_from(text: String) -> Result<Self, ReceiverHostNameError> {
        text.parse()
    }
}

impl From<ReceiverHostName> for String {
    fn from(host: ReceiverHostName) -> Self {
        host.0.into()
    }
}

impl fmt::Display for ReceiverHostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_of_a_url_is_accepted() {
        for (text, expected) in [
            ("receiver.example", Some("receiver.example")),
            ("Receiver.Example", Some("receiver.example")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[2001:DB8::1]", Some("[2001:db8::1]")),
            ("", None),
            ("2001:db8::1", None),
            ("receiver.example:8443", None),
            ("receiver.example/", None),
            ("receiver.example?key=secret", None),
            ("https://receiver.example/cb?key=secret", None),
            ("user@receiver.example", None),
            ("receiver example", None),
        ] {
            let host = text.parse::<ReceiverHostName>();
            assert_eq!(host.as_ref().ok().map(ReceiverHostName::as_str), expected, "{text}");
        }
    }
}
