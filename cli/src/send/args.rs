//! The flags of `chargegate send`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::duration;

/// Send one request, or load at a steady rate, and wait for the callbacks
#[derive(clap::Args)]
pub(crate) struct SendArgs {
    /// Base URL of the edge
    #[arg(long, env = "CHARGEGATE_SEND_URL", value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub(super) url: String,
    /// Driver token of each request
    #[arg(
        long,
        env = "CHARGEGATE_SEND_DRIVER_TOKEN",
        value_name = "TOKEN",
        default_value = "driver-allowed-0000000001",
        hide_env_values = true
    )]
    pub(super) driver_token: String,
    /// Station id of each request [default: random for each request]
    #[arg(long, env = "CHARGEGATE_SEND_STATION_ID", value_name = "UUID")]
    pub(super) station_id: Option<String>,
    /// Requests a second, independent of the responses [default: send one request]
    #[arg(long, env = "CHARGEGATE_SEND_RATE", value_name = "REQUESTS")]
    pub(super) rate: Option<NonZeroU32>,
    /// Duration of the load
    #[arg(
        long,
        env = "CHARGEGATE_SEND_DURATION",
        value_name = "TIME",
        default_value = "10s",
        requires = "rate",
        value_parser = duration::parse_positive
    )]
    pub(super) duration: Duration,
    /// Time limit of a response, from the planned send time
    #[arg(
        long,
        env = "CHARGEGATE_SEND_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration::parse_positive
    )]
    pub(super) timeout: Duration,
    /// Time to wait for callbacks after the last response; should exceed the decision deadline
    #[arg(
        long,
        env = "CHARGEGATE_SEND_WAIT",
        value_name = "TIME",
        default_value = "15s",
        value_parser = duration::parse
    )]
    pub(super) wait: Duration,
    /// Maximum number of connections to the edge
    #[arg(long, env = "CHARGEGATE_SEND_CONNECTIONS", value_name = "COUNT", default_value = "64")]
    pub(super) connections: NonZeroUsize,
    /// Address to receive callbacks on; port 0 picks a free port
    #[arg(
        long,
        env = "CHARGEGATE_SEND_CALLBACK_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0"
    )]
    pub(super) callback_listen: SocketAddr,
    /// Base URL of the receiver as chargegate reaches it [default: the address it listens on]
    #[arg(long, env = "CHARGEGATE_SEND_CALLBACK_URL", value_name = "URL")]
    pub(super) callback_url: Option<String>,
    /// Print only one JSON object on standard output, at the end
    #[arg(long, env = "CHARGEGATE_SEND_JSON")]
    pub(super) json: bool,
}
