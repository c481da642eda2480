//! The same processing with well-known crates.

use regex::Regex;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

/// The compiled pattern of a driver token.
pub(crate) struct TokenPattern {
    token: Regex,
}

impl TokenPattern {
    pub(crate) fn new() -> Self {
        Self { token: Regex::new("^[A-Za-z0-9._~-]{20,80}$").unwrap() }
    }
}

#[derive(Deserialize)]
struct PlainRequest {
    station_id: String,
    driver_token: String,
    callback_url: String,
}

#[derive(Serialize)]
struct PlainMessage {
    v: u8,
    id: String,
    station_id: String,
    driver_token: String,
    callback_url: String,
    accepted_at: u64,
    traceparent: String,
}

/// Parses a request and encodes its message.
pub(crate) fn accept(body: &[u8], pattern: &TokenPattern, now: u64, random: [u8; 34]) -> String {
    let request: PlainRequest = serde_json::from_slice(body).unwrap();
    Uuid::parse_str(&request.station_id).unwrap();
    assert!(pattern.token.is_match(&request.driver_token));
    let url = Url::parse(&request.callback_url).unwrap();
    assert!(
        matches!(url.scheme(), "http" | "https") && url.fragment().is_none() && url.username().is_empty()
    );
    let (id, rest) = random.split_first_chunk::<10>().unwrap();
    let (trace, parent) = rest.split_first_chunk::<16>().unwrap();
    let message = PlainMessage {
        v: 1,
        id: uuid::Builder::from_unix_timestamp_millis(now, id).into_uuid().to_string(),
        station_id: request.station_id,
        driver_token: request.driver_token,
        callback_url: url.into(),
        accepted_at: now,
        traceparent: format!(
            "00-{:032x}-{:016x}-01",
            u128::from_be_bytes(*trace),
            u64::from_be_bytes(parent.try_into().unwrap())
        ),
    };
    serde_json::to_string(&message).unwrap()
}
