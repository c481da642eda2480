//! The token that operators present to the ops port.

use std::path::{Path, PathBuf};

use ring::hmac;

use crate::authorizer::{AclFileFault, is_exposed, read_bounded};

/// Fewest characters of a token.
const MIN_CHARS: usize = 16;
/// Most bytes of the file.
const MAX_FILE_BYTES: u64 = 1024;

/// The token of operators, which is compared in constant time.
#[derive(Clone)]
pub struct OperatorToken {
    key: hmac::Key,
    tag: hmac::Tag,
}

/// A file with the token of operators that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct OperatorTokenError {
    /// Path of the file.
    pub path: PathBuf,
    /// Reason.
    pub fault: OperatorTokenFault,
}

/// Reason why a file with the token of operators cannot be used. No variant holds any content of the file.
#[derive(Debug, thiserror::Error)]
pub enum OperatorTokenFault {
    /// It cannot be read, or is too large.
    #[error(transparent)]
    File(#[from] AclFileFault),
    /// Other users may read it.
    #[error("may be read by other users: `chmod 600` it")]
    Exposed,
    /// The token is too short to resist guessing.
    #[error("the token has fewer than 16 characters")]
    TooShort,
    /// It has characters that no token in a header may have.
    #[error("the token has a space, a line break or another character that no header of a token may have")]
    Characters,
}

impl OperatorToken {
    /// Reads the token from a file, without white space at its ends.
    ///
    /// # Errors
    /// [`OperatorTokenError`].
    pub async fn read(path: &Path) -> Result<Self, OperatorTokenError> {
        let text = Self::read_text(path).await?;
        Ok(Self::new(&text))
    }

    /// Reads the text of the token, for a client that presents it.
    ///
    /// # Errors
    /// [`OperatorTokenError`].
    pub async fn read_text(path: &Path) -> Result<Box<str>, OperatorTokenError> {
        let failed = |fault| OperatorTokenError { path: path.to_owned(), fault };
        // An absent file is reported by the read that follows.
        if is_exposed(path) {
            return Err(failed(OperatorTokenFault::Exposed));
        }
        let bytes = read_bounded(path, MAX_FILE_BYTES).await.map_err(|fault| failed(fault.into()))?;
        check(&bytes).map(Box::from).map_err(failed)
    }

    fn new(token: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let tag = hmac::sign(&key, token.as_bytes());
        Self { key, tag }
    }

    /// Returns whether `presented` is the token, in a time that does not depend on the place of a difference.
    #[must_use]
    pub fn accepts(&self, presented: &[u8]) -> bool {
        hmac::verify(&self.key, presented, self.tag.as_ref()).is_ok()
    }
}

/// Returns the token in the content of a file.
fn check(bytes: &[u8]) -> Result<&str, OperatorTokenFault> {
    let text = str::from_utf8(bytes).map_err(|_| OperatorTokenFault::Characters)?.trim();
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(OperatorTokenFault::Characters);
    }
    if text.len() < MIN_CHARS { Err(OperatorTokenFault::TooShort) } else { Ok(text) }
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let token = OperatorToken::new("0123456789abcdef");
        assert!(token.accepts(b"0123456789abcdef"));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef0"] {
            assert!(!token.accepts(other));
        }
    }

    #[test]
    fn a_token_is_long_and_fits_in_a_header() {
        let check = |text: &str| check(text.as_bytes()).map_err(|fault| fault.to_string()).is_ok();
        assert!(check("0123456789abcdef\n"));
        for text in ["", "0123456789abcde\n", "0123456789 abcdef", "0123456789\nabcdef", "grüße-grüße-grüße"]
        {
            assert!(!check(text), "{text:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef").unwrap();
        let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o644);
        let fault = OperatorToken::read(&path).await.unwrap_err().fault;
        assert!(matches!(fault, OperatorTokenFault::Exposed), "{fault}");
        set_mode(0o600);
        assert!(OperatorToken::read(&path).await.unwrap().accepts(b"0123456789abcdef"));
        let absent = OperatorToken::read(&folder.path().join("absent")).await.unwrap_err().fault;
        assert!(matches!(absent, OperatorTokenFault::File(_)), "{absent}");
    }
}
