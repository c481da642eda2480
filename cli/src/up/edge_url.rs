//! The base URL of an edge that runs elsewhere.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Base URL of an edge that runs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExternalEdgeUrl(Box<str>);

impl FromStr for ExternalEdgeUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri = text.parse::<Uri>().ok();
        let whole = uri.filter(|uri| {
            let plain = uri.path() == "/" && uri.query().is_none() && !text.contains(['@', '#']);
            matches!(uri.scheme_str(), Some("http" | "https")) && plain
        });
        match whole {
            Some(_) => Ok(Self(text.trim_end_matches('/').into())),
            None => Err("write the edge's URL without a path, like http://127.0.0.1:3000"),
        }
    }
}

impl fmt::Display for ExternalEdgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_elsewhere_is_named_by_its_origin() {
        for text in ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", "https://edge.example"] {
            let ExternalEdgeUrl(url) = text.parse().unwrap();
            assert_eq!(*url, *text.trim_end_matches('/'));
        }
        for text in [
            "",
            "127.0.0.1:3000",
            "http://h/v1",
            "http://h?x=1",
            "http://h#f",
            "https://user:secret@h",
            "ftp://h",
            "/",
        ] {
            assert!(text.parse::<ExternalEdgeUrl>().is_err(), "{text}");
        }
    }
}
