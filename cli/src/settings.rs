//! Settings that several commands share, and how each becomes what the product takes.

mod database;
mod edge;
mod queue;
mod work;

use std::num::NonZeroUsize;

use chargegate_core::{AddressPolicy, DecisionRulesError, IpNetworkError};
use chargegate_postgres::DatabaseUrlError;
use chargegate_pull::cloudflare::{ApiTokenError, BaseUrlError};
use chargegate_worker::AclUrlError;

pub(crate) use self::database::DatabaseArgs;
pub(crate) use self::edge::EdgeHostArgs;
pub(crate) use self::queue::{QueueArgs, QueueLimitArgs, QueueUrlError, RemoteQueueSettings};
pub(crate) use self::work::{OpsArgs, WorkerTuningArgs};

/// Whom a callback may go to.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct CallbackAddressArgs {
    /// Networks that may be called back besides public addresses, like 10.1.0.0/16, separated by commas
    #[arg(
        long,
        env = "CHARGEGATE_CALLBACK_ALLOW",
        value_name = "NETWORKS",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) callback_allow: String,
}

/// The addresses that may be called back.
///
/// # Errors
/// [`SettingError::CallbackAllow`].
pub(crate) fn addresses(callback_allow: &str) -> Result<AddressPolicy, SettingError> {
    AddressPolicy::allowing(callback_allow).map_err(SettingError::CallbackAllow)
}

/// Reads a number of things held at once, from 1 to a million: what is beyond is a slip.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, &'static str> {
    let number = text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= 1_000_000);
    number.ok_or("write a whole number from 1 to 1000000")
}

/// A setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// The authorization service's URL.
    #[error("--acl-url or CHARGEGATE_ACL_URL")]
    AclUrl(#[source] AclUrlError),
    /// The networks.
    #[error("--callback-allow or CHARGEGATE_CALLBACK_ALLOW: an entry of the list")]
    CallbackAllow(#[source] IpNetworkError),
    /// The times.
    #[error(
        "--decision-deadline or CHARGEGATE_DECISION_DEADLINE, and --acl-timeout or CHARGEGATE_ACL_TIMEOUT"
    )]
    Rules(#[source] DecisionRulesError),
    /// The queue's time.
    #[error("--enqueue-timeout or CHARGEGATE_ENQUEUE_TIMEOUT must not be longer than 1m")]
    EnqueueTimeout,
    /// The folder of compiled components.
    #[error("--data-dir or CHARGEGATE_DATA_DIR cannot be made absolute")]
    DataDir(#[source] std::io::Error),
    /// The component.
    #[error("no edge component at {}: build it with `cargo xtask edge`, or name another with --edge-component", path.display())]
    Component {
        /// Where it was looked for.
        path: std::path::PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// There is no queue.
    #[error("no queue: name it with QUEUE_URL or --queue-url, like redis://127.0.0.1:6379")]
    NoQueue,
    /// The queue's URL.
    #[error("QUEUE_URL or --queue-url")]
    QueueUrl(#[source] QueueUrlError),
    /// The names of the queue's keys.
    #[error(
        "--queue-prefix or CHARGEGATE_QUEUE_PREFIX must be 1 to 100 characters without spaces and braces"
    )]
    QueuePrefix,
    /// There is no database.
    #[error(
        "no database: name it with DATABASE_URL or --database-url, like postgres://user:password@host/database"
    )]
    NoDatabase,
    /// The database's URL.
    #[error("DATABASE_URL or --database-url")]
    DatabaseUrl(#[source] DatabaseUrlError),
    /// Only one engine is on another server.
    #[error(
        "QUEUE_URL and DATABASE_URL (--queue-url, --database-url) go together: set both, or neither to keep everything in the data folder"
    )]
    HalfRemote,
    /// An edge elsewhere, and a queue in a folder here.
    #[error(
        "--external-edge or CHARGEGATE_EXTERNAL_EDGE: that edge needs a queue it can reach, so set QUEUE_URL and DATABASE_URL"
    )]
    ExternalEdge,
    /// Cloudflare's token.
    #[error(
        "no token for Cloudflare's API: set CLOUDFLARE_API_TOKEN, or CLOUDFLARE_API_TOKEN_FILE to a file that holds it"
    )]
    NoCloudflareToken,
    /// Cloudflare's token.
    #[error("CLOUDFLARE_API_TOKEN, or the file of CLOUDFLARE_API_TOKEN_FILE")]
    CloudflareToken(#[source] ApiTokenError),
    /// Cloudflare's API.
    #[error("CLOUDFLARE_BASE_URL or --cloudflare-base-url")]
    CloudflareBaseUrl(#[source] BaseUrlError),
    /// The token's file.
    #[error("CLOUDFLARE_API_TOKEN_FILE or --cloudflare-api-token-file: {} cannot be read", path.display())]
    CloudflareTokenFile {
        /// Where it is.
        path: std::path::PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
}
