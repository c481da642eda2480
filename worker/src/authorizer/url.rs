//! Base URL of the authorization service.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// Base URL of the authorization service: `http[s]://host[:port][/path]`, below which its profile names a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclUrl {
    /// Without a slash at the end.
    base: String,
    https: bool,
}

/// Text that is not a base URL of an authorization service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL like https://acl.internal:8443/base, without credentials, query or fragment")]
pub struct AclUrlError;

impl AclUrl {
    /// Returns whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl FromStr for AclUrl {
    type Err = AclUrlError;

    fn from_str(text: &str) -> Result<Self, AclUrlError> {
        let uri: Uri = text.parse().map_err(|_| AclUrlError)?;
        let authority = uri.authority().ok_or(AclUrlError)?;
        let scheme = uri.scheme().filter(|scheme| [&Scheme::HTTP, &Scheme::HTTPS].contains(scheme));
        let scheme = scheme.ok_or(AclUrlError)?;
        let plain = uri.query().is_none()
            && !text.contains('#')
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
        // The client parses URLs by the rules of the web, which refuse some hosts that `Uri` accepts.
        if !plain || reqwest::Url::parse(&base).is_err() {
            return Err(AclUrlError);
        }
        Ok(Self { base, https: *scheme == Scheme::HTTPS })
    }
}

impl fmt::Display for AclUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, base: Option<&str>) {
        let found = text.parse::<AclUrl>().ok().map(|url| url.to_string());
        assert_eq!(found.as_deref(), base, "{text}");
    }

    #[test]
    fn a_base_url_has_a_host_and_perhaps_a_path() {
        check("http://127.0.0.1:3002", Some("http://127.0.0.1:3002"));
        check("http://[::1]:3002/", Some("http://[::1]:3002"));
        check("https://acl.internal/base/", Some("https://acl.internal/base"));
        assert!("https://acl".parse::<AclUrl>().unwrap().is_https());
        assert!(!"http://acl".parse::<AclUrl>().unwrap().is_https());
        for text in [
            "",
            "acl.internal",
            "ftp://acl",
            "http://",
            "http://u:p@acl",
            "http://acl?x",
            "/v1",
            "http://acl#x",
        ] {
            check(text, None);
        }
    }
}
