//! The address of the edge.

use http::Uri;

/// The path of the API's only resource.
const SESSIONS_PATH: &str = "/v1/charging-sessions";

/// The edge's resource, parsed from its base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EdgeTarget {
    /// Host name or address to connect to.
    pub(super) host: String,
    /// Port to connect to.
    pub(super) port: u16,
    /// Value of the `host` header.
    pub(super) authority: String,
    /// Path to post to.
    pub(super) path: String,
}

impl std::str::FromStr for EdgeTarget {
    type Err = EdgeTargetError;

    fn from_str(base: &str) -> Result<Self, EdgeTargetError> {
        let uri: Uri = base.parse().map_err(|_| EdgeTargetError::Malformed)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(EdgeTargetError::Https),
            _ => return Err(EdgeTargetError::Malformed),
        }
        let authority = uri.authority().ok_or(EdgeTargetError::Malformed)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(EdgeTargetError::Malformed);
        }
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path: format!("{}{SESSIONS_PATH}", uri.path().trim_end_matches('/')),
        })
    }
}

/// Error of parsing an [`EdgeTarget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EdgeTargetError {
    /// The text is not a URL with a host, or has credentials or a query.
    #[error("write it like http://127.0.0.1:3000")]
    Malformed,
    /// The scheme is https.
    #[error("https is not supported: use the edge's http address")]
    Https,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_appended_to_the_base_url() {
        let check = |base: &str, host: &str, port, authority: &str, path: &str| {
            let expected =
                EdgeTarget { host: host.into(), port, authority: authority.into(), path: path.into() };
            assert_eq!(base.parse(), Ok(expected), "{base}");
        };
        check("http://127.0.0.1:3000", "127.0.0.1", 3000, "127.0.0.1:3000", SESSIONS_PATH);
        check("http://edge.test/", "edge.test", 80, "edge.test", SESSIONS_PATH);
        check("http://[::1]:3000/gate/", "::1", 3000, "[::1]:3000", "/gate/v1/charging-sessions");
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |base: &str, expected| assert_eq!(base.parse::<EdgeTarget>(), Err(expected), "{base}");
        check("https://edge.test", EdgeTargetError::Https);
        for base in [
            "",
            "edge.test",
            "127.0.0.1:3000",
            "/v1",
            "ftp://edge.test",
            "http://a:b@edge.test",
            "http://x/?q",
        ] {
            check(base, EdgeTargetError::Malformed);
        }
    }
}
