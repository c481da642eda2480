//! Who signs.

use alloc::boxed::Box;
use core::fmt;

/// An access key, with the token of its session where it is a temporary one. `Debug` shows only the key's id, which
/// is no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: Box<str>,
    secret_access_key: Box<str>,
    session_token: Option<Box<str>>,
}

impl Credentials {
    /// The credentials, which must be of visible ASCII characters, as all travel in a header or stand for one.
    ///
    /// # Errors
    /// [`CredentialsError`] says which part is malformed.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
    ) -> Result<Self, CredentialsError> {
        // It ends at these in the `authorization` header.
        if !is_visible(access_key_id) || access_key_id.contains(['/', ',', '=']) {
            return Err(CredentialsError::AccessKeyId);
        }
        if !is_visible(secret_access_key) {
            return Err(CredentialsError::SecretAccessKey);
        }
        if session_token.is_some_and(|token| !is_visible(token)) {
            return Err(CredentialsError::SessionToken);
        }
        Ok(Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: session_token.map(Into::into),
        })
    }

    /// The id of the access key.
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

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ..)", self.access_key_id)
    }
}

/// Which part of the credentials is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// The id of the access key.
    AccessKeyId,
    /// The secret access key.
    SecretAccessKey,
    /// The token of the session.
    SessionToken,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessKeyId => "the access key id is empty or has a character that cannot be in one",
            Self::SecretAccessKey => {
                "the secret access key is empty or has a character that cannot be in one"
            }
            Self::SessionToken => "the session token is empty or has a character that cannot be in one",
        })
    }
}

impl core::error::Error for CredentialsError {}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn what_cannot_be_in_a_header_is_refused() {
        let good = Credentials::new("AKIDEXAMPLE", "a+/=", Some("b+/="));
        assert_eq!(good.map(|good| good.access_key_id().len()), Ok(11));
        for id in ["", "a b", "a\n", "a/b", "a,b", "a=b", "ä"] {
            assert_eq!(Credentials::new(id, "s", None), Err(CredentialsError::AccessKeyId), "{id:?}");
        }
        for other in ["", "a b", "a\n", "ä"] {
            assert_eq!(Credentials::new("a", other, None), Err(CredentialsError::SecretAccessKey));
            assert_eq!(Credentials::new("a", "s", Some(other)), Err(CredentialsError::SessionToken));
        }
    }

    #[test]
    fn what_is_printed_has_no_secret() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token")).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(AKIDEXAMPLE, ..)");
    }
}
