//! URLs of the queue and the API.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// Base URL of Cloudflare's API.
pub const BASE_URL: &str = "https://api.cloudflare.com/client/v4";
/// Number of hexadecimal digits of an id.
const ID_LENGTH: usize = 32;

/// URL of a queue: `cloudflare://ACCOUNT/QUEUE_ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudflareQueueUrl {
    account: String,
    queue: String,
}

/// Text that does not name a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected cloudflare://ACCOUNT/QUEUE_ID, each of 32 hexadecimal digits: `npx wrangler whoami` shows the account's id, `npx wrangler queues info NAME` the queue's"
)]
pub struct CloudflareQueueUrlError;

impl CloudflareQueueUrl {
    /// Returns the path of the queue in the API.
    pub(super) fn path(&self) -> String {
        format!("/accounts/{}/queues/{}", self.account, self.queue)
    }
}

impl FromStr for CloudflareQueueUrl {
    type Err = CloudflareQueueUrlError;

    fn from_str(text: &str) -> Result<Self, CloudflareQueueUrlError> {
        let ids = text.strip_prefix("cloudflare://").ok_or(CloudflareQueueUrlError)?;
        let (account, queue) = ids.split_once('/').ok_or(CloudflareQueueUrlError)?;
        let id = |text: &str| {
            let is_id = text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_id.then(|| text.to_ascii_lowercase()).ok_or(CloudflareQueueUrlError)
        };
        Ok(Self { account: id(account)?, queue: id(queue)? })
    }
}

impl fmt::Display for CloudflareQueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cloudflare://{}/{}", self.account, self.queue)
    }
}

/// Prefix of the URLs of all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudflareBaseUrl(String);

/// Text that is not a base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL like https://api.cloudflare.com/client/v4, without credentials, query or fragment")]
pub struct CloudflareBaseUrlError;

impl CloudflareBaseUrl {
    /// Returns the URL as text, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CloudflareBaseUrl {
    fn default() -> Self {
        Self(BASE_URL.to_owned())
    }
}

impl FromStr for CloudflareBaseUrl {
    type Err = CloudflareBaseUrlError;

    fn from_str(text: &str) -> Result<Self, CloudflareBaseUrlError> {
        let uri: Uri = text.parse().map_err(|_| CloudflareBaseUrlError)?;
        let authority = uri.authority().ok_or(CloudflareBaseUrlError)?;
        let fits = (uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&Scheme::HTTP))
            && uri.query().is_none()
            && !text.contains('#')
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        if fits { Ok(Self(text.trim_end_matches('/').to_owned())) } else { Err(CloudflareBaseUrlError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_accepted_as_queue_names() {
        let (account, queue) = ("023e105f4ecef8ad9ca31a8372d0c353", "CAFECAFECAFECAFECAFECAFECAFECAFE");
        let url: CloudflareQueueUrl = format!("cloudflare://{account}/{queue}").parse().unwrap();
        assert_eq!(url.path(), format!("/accounts/{account}/queues/{}", queue.to_ascii_lowercase()));
        assert_eq!(url.to_string().parse::<CloudflareQueueUrl>().unwrap(), url);
        for text in [
            String::new(),
            "cloudflare://".to_owned(),
            format!("cloudflare://{account}"),
            format!("cloudflare://{account}/jobs"),
            format!("cloudflare://{account}/{queue}/"),
            format!("cloudflare://{account}/{queue}?x=1"),
            format!("cloudflare://{}/{queue}", &account[1..]),
            format!("cloudflare://{account}/{}g", &queue[1..]),
            format!("https://{account}/{queue}"),
        ] {
            assert!(text.parse::<CloudflareQueueUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_base_url_has_no_more_than_a_path() {
        for text in [BASE_URL, "http://127.0.0.1:8787/client/v4/", "http://[::1]"] {
            assert_eq!(text.parse::<CloudflareBaseUrl>().unwrap().as_str(), text.trim_end_matches('/'));
        }
        for text in
            ["", "api.cloudflare.com", "ftp://h", "https://u:p@h", "https://h/?q", "https://h#f", "/v4"]
        {
            assert!(text.parse::<CloudflareBaseUrl>().is_err(), "{text}");
        }
    }
}
