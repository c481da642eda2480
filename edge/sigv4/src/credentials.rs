//! The credentials that requests are signed with.

use alloc::boxed::Box;
use core::fmt;

/// An AWS access key, with a session token if the key is temporary.
///
/// `Debug` shows only the key's id, which is not secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    access_key_id: Box<str>,
    secret_access_key: Box<str>,
    session_token: Option<Box<str>>,
}

impl AwsCredentials {
    /// Creates credentials from visible ASCII characters: every part is sent in a header or signs one.
    ///
    /// # Errors
    /// [`AwsCredentialsError`] names the malformed part.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
    ) -> Result<Self, AwsCredentialsError> {
        // These characters end the id in the `authorization` header.
        if !is_visible(access_key_id) || access_key_id.contains(['/', ',', '=']) {
            return Err(AwsCredentialsError::AccessKeyId);
        }
        if !is_visible(secret_access_key) {
            return Err(AwsCredentialsError::SecretAccessKey);
        }
        if session_token.is_some_and(|token| !is_visible(token)) {
            return Err(AwsCredentialsError::SessionToken);
        }
        Ok(Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: session_token.map(Into::into),
        })
    }

    /// Returns the id of the access key.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub(crate) fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    pub(crate) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsCredentials({}, ..)", self.access_key_id)
    }
}

/// The part of the credentials that is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsCredentialsError {
    /// The id of the access key.
    AccessKeyId,
    /// The secret access key.
    SecretAccessKey,
    /// The token of the session.
    SessionToken,
}

impl fmt::Display for AwsCredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessKeyId => "the access key id is empty or contains an invalid character",
            Self::SecretAccessKey => "the secret access key is empty or contains an invalid character",
            Self::SessionToken => "the session token is empty or contains an invalid character",
        })
    }
}

impl core::error::Error for AwsCredentialsError {}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn characters_that_a_header_cannot_carry_are_refused() {
        let good = AwsCredentials::new("AKIDEXAMPLE", "a+/=", Some("b+/="));
        assert_eq!(good.map(|good| good.access_key_id().len()), Ok(11));
        for id in ["", "a b", "a\n", "a/b", "a,b", "a=b", "ä"] {
            assert_eq!(AwsCredentials::new(id, "s", None), Err(AwsCredentialsError::AccessKeyId), "{id:?}");
        }
        for other in ["", "a b", "a\n", "ä"] {
            assert_eq!(AwsCredentials::new("a", other, None), Err(AwsCredentialsError::SecretAccessKey));
            assert_eq!(AwsCredentials::new("a", "s", Some(other)), Err(AwsCredentialsError::SessionToken));
        }
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let credentials = AwsCredentials::new("AKIDEXAMPLE", "secret", Some("token")).unwrap();
        assert_eq!(format!("{credentials:?}"), "AwsCredentials(AKIDEXAMPLE, ..)");
    }
}
