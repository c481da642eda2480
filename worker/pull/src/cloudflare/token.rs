//! API token.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

/// API token of Cloudflare, never shown.
#[derive(Clone)]
pub struct CloudflareToken(HeaderValue);

/// Text that cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an API token of Cloudflare, as its dashboard shows it once")]
pub struct CloudflareTokenError;

impl CloudflareToken {
    /// Returns the value of the `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for CloudflareToken {
    type Err = CloudflareTokenError;

    /// Parses a token, ignoring surrounding white space as in files.
    fn from_str(text: &str) -> Result<Self, CloudflareTokenError> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CloudflareTokenError);
        }
        let mut header =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| CloudflareTokenError)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for CloudflareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CloudflareToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_file_contents_and_never_shown() {
        let token: CloudflareToken = " s3cret-_\n".parse().unwrap();
        assert_eq!(token.header().to_str().unwrap(), "Bearer s3cret-_");
        assert_eq!(format!("{token:?} {:?}", token.header()), "CloudflareToken(..) Sensitive");
        for text in ["", " ", "a b", "a\nb", "t\u{f6}ken"] {
            assert!(text.parse::<CloudflareToken>().is_err(), "{text:?}");
        }
    }
}
