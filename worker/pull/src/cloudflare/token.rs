//! The secret that opens the API.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

/// An API token of Cloudflare; shown nowhere.
#[derive(Clone)]
pub struct ApiToken(HeaderValue);

/// The text cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an API token of Cloudflare, as its dashboard shows it once")]
pub struct ApiTokenError;

impl ApiToken {
    /// What goes into each request's `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for ApiToken {
    type Err = ApiTokenError;

    /// Takes a token with the white space around it that files have.
    fn from_str(text: &str) -> Result<Self, ApiTokenError> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiTokenError);
        }
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ApiTokenError)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_as_files_hold_it_and_never_shown() {
        let token: ApiToken = " s3cret-_\n".parse().unwrap();
        assert_eq!(token.header().to_str().unwrap(), "Bearer s3cret-_");
        assert_eq!(format!("{token:?} {:?}", token.header()), "ApiToken(..) Sensitive");
        for text in ["", " ", "a b", "a\nb", "t\u{f6}ken"] {
            assert!(text.parse::<ApiToken>().is_err(), "{text:?}");
        }
    }
}
