//! Flags that several commands share, and their conversion to the settings of the libraries.

mod acl;
mod callback;
mod database;
mod destination;
mod edge;
mod queue;
mod work;

use std::error::Error;
use std::num::NonZeroU32;

use chargegate_core::{DecisionRulesError, DestinationSettingError};
use chargegate_worker::{
    AclClientError, AclProfileError, AclUrlError, CallbackKeyFileError, CallbackProxyError, CallbackTlsError,
    DnsResolverError, OperatorTokenError,
};

pub(crate) use self::acl::AclClientArgs;
pub(crate) use self::callback::CallbackClientArgs;
pub(crate) use self::database::DatabaseArgs;
pub(crate) use self::destination::CallbackDestinationArgs;
pub(crate) use self::edge::EdgeHostArgs;
pub(crate) use self::queue::{QueueArgs, QueueLimitArgs};
pub(crate) use self::work::{OpsArgs, WorkerTuningArgs};

/// Names of the variable and the flag of the queue, for messages.
pub(crate) const QUEUE_URL: &str = "QUEUE_URL (--queue-url)";
/// Names of the variable and the flag of the database, for messages.
pub(crate) const DATABASE_URL: &str = "DATABASE_URL (--database-url)";
/// Names of the flag and the variable of the data folder, for messages.
pub(crate) const DATA_DIR: &str = "--data-dir or CHARGEGATE_DATA_DIR";

/// Parses a limit of concurrency, from 1 to a million; a larger number is a typing error.
pub(crate) fn count<N: TryFrom<NonZeroU32>>(text: &str) -> Result<N, &'static str> {
    let number = text.parse::<NonZeroU32>().ok().filter(|number| number.get() <= 1_000_000);
    number.and_then(|number| N::try_from(number).ok()).ok_or("write a whole number from 1 to 1000000")
}

/// A missing or unusable setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// The URL of the authorization service is unusable.
    #[error("--acl-url or CHARGEGATE_ACL_URL")]
    AclUrl(#[source] AclUrlError),
    /// Files for TLS without TLS.
    #[error(
        "--acl-ca-file and --acl-client-cert-file (CHARGEGATE_ACL_CA_FILE, CHARGEGATE_ACL_CLIENT_CERT_FILE) need an https URL in --acl-url"
    )]
    AclTlsWithoutHttps,
    /// The client of the authorization service cannot be set up.
    #[error("{setting}")]
    AclClient {
        /// The flag and the variable.
        setting: &'static str,
        /// Cause.
        #[source]
        source: AclClientError,
    },
    /// The profile of the authorization service cannot be read.
    #[error(
        "--acl-profile or CHARGEGATE_ACL_PROFILE: {} is neither a built-in profile (chargegate, ocpi-2.2.1) nor a readable file", path.display()
    )]
    AclProfileFile {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The profile of the authorization service is malformed.
    #[error("--acl-profile or CHARGEGATE_ACL_PROFILE: {}", path.display())]
    AclProfile {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Cause, with line and key.
        #[source]
        source: AclProfileError,
    },
    /// The DNS servers of the machine cannot be read.
    #[error(
        "--callback-dns or CHARGEGATE_CALLBACK_DNS: name DNS servers, since those of the machine are not known"
    )]
    CallbackDns(#[source] DnsResolverError),
    /// The proxy of callbacks is not a URL of one. The URL may contain a password and is not kept.
    #[error("--callback-proxy or CHARGEGATE_CALLBACK_PROXY")]
    CallbackProxy(#[source] CallbackProxyError),
    /// A file of keys or of a secret cannot be used.
    #[error(
        "--callback-key-file or --callback-secret-file (CHARGEGATE_CALLBACK_KEY_FILE, CHARGEGATE_CALLBACK_SECRET_FILE)"
    )]
    CallbackKeys(#[source] CallbackKeyFileError),
    /// TLS towards callback receivers cannot be set up.
    #[error(
        "--callback-ca-file, --callback-client-cert-file or --callback-client-key-file (CHARGEGATE_CALLBACK_CA_FILE, CHARGEGATE_CALLBACK_CLIENT_CERT_FILE, CHARGEGATE_CALLBACK_CLIENT_KEY_FILE)"
    )]
    CallbackTls(#[source] CallbackTlsError),
    /// A setting for the destinations of callbacks is malformed.
    #[error("{flag} or {variable}")]
    Destination {
        /// The flag.
        flag: &'static str,
        /// The variable.
        variable: &'static str,
        /// Cause.
        #[source]
        source: DestinationSettingError,
    },
    /// The times do not fit together.
    #[error(
        "--decision-deadline or CHARGEGATE_DECISION_DEADLINE, and --acl-timeout or CHARGEGATE_ACL_TIMEOUT"
    )]
    Rules(#[source] DecisionRulesError),
    /// The time limit of the queue is too long.
    #[error("--enqueue-timeout or CHARGEGATE_ENQUEUE_TIMEOUT must not be longer than 1m")]
    EnqueueTimeout,
    /// The folder of compiled components has no absolute path.
    #[error("--data-dir or CHARGEGATE_DATA_DIR cannot be made absolute")]
    DataDir(#[source] std::io::Error),
    /// The edge component cannot be read.
    #[error("no edge component at {}: build it with `cargo xtask edge`, or name another with --edge-component", path.display())]
    Component {
        /// Path of the component.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// No queue is configured.
    #[error("no queue: name it with QUEUE_URL or --queue-url, like redis://127.0.0.1:6379")]
    NoQueue,
    /// The URL of the queue is unusable.
    #[error("QUEUE_URL or --queue-url")]
    QueueUrl(#[source] Box<dyn Error + Send + Sync>),
    /// The scheme of the queue's URL names no engine.
    #[error(
        "QUEUE_URL or --queue-url: expected a URL that begins with redis://, rediss://, sqs:// or cloudflare://"
    )]
    QueueUrlScheme,
    /// The engine of a URL is not part of this build.
    #[error("{setting}: this program was built without the engine of {scheme}:// URLs; use a full build")]
    EngineNotBuilt {
        /// The variable and the flag of the URL.
        setting: &'static str,
        /// Scheme of the URL.
        scheme: String,
    },
    /// The key prefix is unusable.
    #[error("--queue-prefix or CHARGEGATE_QUEUE_PREFIX must be 1 to 100 characters without spaces or braces")]
    QueuePrefix,
    /// No database is configured.
    #[error(
        "no database: name it with DATABASE_URL or --database-url, like postgres://user:password@host/database"
    )]
    NoDatabase,
    /// The URL of the database is unusable.
    #[error("DATABASE_URL or --database-url")]
    DatabaseUrl(#[source] Box<dyn Error + Send + Sync>),
    /// Only one of queue and store is on a server.
    #[error(
        "QUEUE_URL and DATABASE_URL (--queue-url, --database-url) go together: set both, or neither to keep everything in the data folder"
    )]
    HalfRemote,
    /// An external edge cannot reach a queue in a local folder.
    #[error(
        "--external-edge or CHARGEGATE_EXTERNAL_EDGE: that edge needs a queue it can reach, so set QUEUE_URL and DATABASE_URL"
    )]
    ExternalEdge,
    /// The file with the token of operators cannot be used.
    #[error("--ops-token-file or CHARGEGATE_OPS_TOKEN_FILE")]
    OpsToken(#[source] OperatorTokenError),
    /// No token for Cloudflare's API is configured.
    #[error(
        "no token for Cloudflare's API: set CLOUDFLARE_API_TOKEN, or CLOUDFLARE_API_TOKEN_FILE to a file that holds it"
    )]
    NoCloudflareToken,
    /// The token for Cloudflare's API is malformed.
    #[error("CLOUDFLARE_API_TOKEN, or the file of CLOUDFLARE_API_TOKEN_FILE")]
    CloudflareToken(#[source] Box<dyn Error + Send + Sync>),
    /// The URL of Cloudflare's API is unusable.
    #[error("CLOUDFLARE_BASE_URL or --cloudflare-base-url")]
    CloudflareBaseUrl(#[source] Box<dyn Error + Send + Sync>),
    /// The file with the token cannot be read.
    #[error("CLOUDFLARE_API_TOKEN_FILE or --cloudflare-api-token-file: {} cannot be read", path.display())]
    CloudflareTokenFile {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
}
