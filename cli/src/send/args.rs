//! The flags of `chargegate send`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::duration;

/// Send one request, or load at a steady rate, and wait for the callbacks
#[derive(clap::Args)]
pub(crate) struct SendArgs {
    /// The edge's base URL
    #[arg(long, env = "CHARGEGATE_SEND_URL", value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub(super) url: String,
    /// Who wants to charge
    #[arg(
        long,
        env = "CHARGEGATE_SEND_DRIVER_TOKEN",
        value_name = "TOKEN",
        default_value = "driver-allowed-0000000001",
        hide_env_values = true
    )]
    pub(super) driver_token: String,
    /// Where they want to charge [default: a random station for each request]
    #[arg(long, env = "CHARGEGATE_SEND_STATION_ID", value_name = "UUID")]
    pub(super) station_id: Option<String>,
    /// Requests a second, whatever the answers do [default: send one request]
    #[arg(long, env = "CHARGEGATE_SEND_RATE", value_name = "REQUESTS")]
    pub(super) rate: Option<NonZeroU32>,
    /// How long to send at that rate
    #[arg(
        long,
        env = "CHARGEGATE_SEND_DURATION",
        value_name = "TIME",
        default_value = "10s",
        requires = "rate",
        value_parser = duration::parse_positive
    )]
    pub(super) duration: Duration,
    /// How long an answer may take, from the planned send time
    #[arg(
        long,
        env = "CHARGEGATE_SEND_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration::parse_positive
    )]
    pub(super) timeout: Duration,
    /// How long to wait for callbacks after the last answer: the decision deadline and a little more
    #[arg(
        long,
        env = "CHARGEGATE_SEND_WAIT",
        value_name = "TIME",
        default_value = "15s",
        value_parser = duration::parse
    )]
    pub(super) wait: Duration,
    /// The most connections to the edge
    #[arg(long, env = "CHARGEGATE_SEND_CONNECTIONS", value_name = "COUNT", default_value = "64")]
    pub(super) connections: NonZeroUsize,
    /// The address to receive callbacks on; port 0 takes a free one
    #[arg(
        long,
        env = "CHARGEGATE_SEND_CALLBACK_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0"
    )]
    pub(super) callback_listen: SocketAddr,
    /// The receiver's base URL as chargegate sees it [default: from the address it listens on]
    #[arg(long, env = "CHARGEGATE_SEND_CALLBACK_URL", value_name = "URL")]
    pub(super) callback_url: Option<String>,
    /// End with one JSON object and nothing else on standard output
    #[arg(long, env = "CHARGEGATE_SEND_JSON")]
    pub(super) json: bool,
}
