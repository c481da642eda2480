//! What `chargegate up` is told, and how each part of it becomes settings.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use chargegate_core::{AddressPolicy, DecisionRules, DecisionRulesError, NetworkError};
use chargegate_host::Settings as HostSettings;
use chargegate_worker::{AclUrl, AclUrlError, DeliverySettings, PipelineSettings, WorkerSettings, sqlite};

use crate::{duration, log};

/// Kept free of calls before the decision deadline, for the commit.
const COMMIT_MARGIN: Duration = Duration::from_millis(500);
/// How much longer a lease is than what is done under it: the commit may be repeated, and the machine be busy.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// The longest time the edge component takes for [`Args::enqueue_timeout`].
const MAX_ENQUEUE_TIMEOUT: Duration = Duration::from_mins(1);
/// What `--demo` may call back besides public addresses.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// Run the single-machine edition: edge, queue, store and worker in one process
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also run the reference authorization service with sample tokens and a sink that shows callbacks, and permit
    /// callbacks to loopback
    #[arg(long, env = "CHARGEGATE_DEMO", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) demo: bool,
    /// The address clients send requests to
    #[arg(long, env = "CHARGEGATE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub(super) listen: SocketAddr,
    /// The address of health, readiness and metrics
    #[arg(long, env = "CHARGEGATE_OPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
    pub(super) ops_listen: SocketAddr,
    /// The address of the demo's authorization service
    #[arg(long, env = "CHARGEGATE_ACL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    pub(super) acl_listen: SocketAddr,
    /// The address of the demo's callback sink
    #[arg(long, env = "CHARGEGATE_SINK_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3003")]
    pub(super) sink_listen: SocketAddr,
    /// Where everything is kept; locked while in use
    #[arg(long, env = "CHARGEGATE_DATA_DIR", value_name = "PATH", default_value = ".chargegate")]
    pub(super) data_dir: PathBuf,
    /// The base URL of the authorization service, http only
    #[arg(long, env = "CHARGEGATE_ACL_URL", value_name = "URL", required_unless_present = "demo")]
    acl_url: Option<String>,
    /// How long each call to the demo's authorization service takes
    #[arg(long, env = "CHARGEGATE_ACL_DELAY", value_name = "TIME", default_value = "0ms", value_parser = duration::parse)]
    pub(super) acl_delay: Duration,
    /// How many calls the demo's authorization service serves at once [default: no limit]
    #[arg(long, env = "CHARGEGATE_ACL_CAPACITY", value_name = "CALLS", value_parser = count)]
    pub(super) acl_capacity: Option<NonZeroUsize>,
    /// The edge's WASM component [default: where `cargo xtask edge` leaves it]
    #[arg(long, env = "CHARGEGATE_EDGE_COMPONENT", value_name = "PATH")]
    edge_component: Option<PathBuf>,
    /// Networks that may be called back besides public addresses, like 10.1.0.0/16, separated by commas
    #[arg(
        long,
        env = "CHARGEGATE_CALLBACK_ALLOW",
        value_name = "NETWORKS",
        default_value = "",
        hide_default_value = true
    )]
    callback_allow: String,
    /// A decision is made this long after a request was accepted
    #[arg(long, env = "CHARGEGATE_DECISION_DEADLINE", value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    decision_deadline: Duration,
    /// One call to the authorization service takes no longer
    #[arg(long, env = "CHARGEGATE_ACL_TIMEOUT", value_name = "TIME", default_value = "2s", value_parser = duration::parse_positive)]
    acl_timeout: Duration,
    /// Calls to the authorization service in flight at most
    #[arg(long, env = "CHARGEGATE_ACL_SLOTS", value_name = "CALLS", default_value = "32", value_parser = count)]
    pub(super) acl_slots: NonZeroUsize,
    /// Messages taken from the queue and not yet decided at most
    #[arg(long, env = "CHARGEGATE_WINDOW", value_name = "MESSAGES", default_value = "1024", value_parser = count)]
    window: NonZeroUsize,
    /// Messages the queue holds; further requests are answered 503
    #[arg(long, env = "CHARGEGATE_QUEUE_LIMIT", value_name = "MESSAGES", default_value = "100000")]
    queue_limit: NonZeroU64,
    /// The queue confirms a message in this time, or the request is answered 503
    #[arg(long, env = "CHARGEGATE_ENQUEUE_TIMEOUT", value_name = "TIME", default_value = "2s", value_parser = duration::parse_positive)]
    enqueue_timeout: Duration,
    /// One attempt to deliver a callback takes no longer
    #[arg(long, env = "CHARGEGATE_CALLBACK_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    pub(super) callback_timeout: Duration,
    /// Callbacks under way at most
    #[arg(long, env = "CHARGEGATE_CALLBACKS", value_name = "CALLBACKS", default_value = "512", value_parser = count)]
    callbacks: NonZeroUsize,
    /// Callbacks under way to one host at most
    #[arg(long, env = "CHARGEGATE_CALLBACKS_PER_HOST", value_name = "CALLBACKS", default_value = "64", value_parser = count)]
    callbacks_per_host: NonZeroUsize,
    /// How long finished requests are kept: the window in which a repeat is recognised
    #[arg(long, env = "CHARGEGATE_RETENTION", value_name = "TIME", default_value = "72h", value_parser = duration::parse_positive)]
    retention: Duration,
    #[command(flatten)]
    pub(crate) log: log::Args,
    /// How long a stop may take
    #[arg(long, env = "CHARGEGATE_GRACE", value_name = "TIME", default_value = "15s", value_parser = duration::parse_positive)]
    pub(super) grace: Duration,
}

/// Reads a number of things held at once, from 1 to a million: what is beyond is a slip.
fn count(text: &str) -> Result<NonZeroUsize, &'static str> {
    let number = text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= 1_000_000);
    number.ok_or("write a whole number from 1 to 1000000")
}

/// A setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgsError {
    /// The authorization service's URL.
    #[error("--acl-url or CHARGEGATE_ACL_URL")]
    AclUrl(#[source] AclUrlError),
    /// The networks.
    #[error("--callback-allow or CHARGEGATE_CALLBACK_ALLOW: an entry of the list")]
    CallbackAllow(#[source] NetworkError),
    /// The times.
    #[error(
        "--decision-deadline or CHARGEGATE_DECISION_DEADLINE, and --acl-timeout or CHARGEGATE_ACL_TIMEOUT"
    )]
    Rules(#[source] DecisionRulesError),
    /// The queue's time.
    #[error("--enqueue-timeout or CHARGEGATE_ENQUEUE_TIMEOUT must not be longer than 1m")]
    EnqueueTimeout,
    /// The data folder's path.
    #[error("--data-dir or CHARGEGATE_DATA_DIR cannot be made absolute")]
    DataDir(#[source] std::io::Error),
    /// The component.
    #[error("no edge component at {}: build it with `cargo xtask edge`, or name another with --edge-component", path.display())]
    Component {
        /// Where it was looked for.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
}

impl Args {
    pub(super) async fn component(&self) -> Result<Vec<u8>, ArgsError> {
        let path = self.edge_component.clone().unwrap_or_else(built_component);
        tokio::fs::read(&path).await.map_err(|source| ArgsError::Component { path, source })
    }

    /// The authorization service that was named.
    pub(super) fn acl_url(&self) -> Result<Option<AclUrl>, ArgsError> {
        self.acl_url.as_deref().map(str::parse).transpose().map_err(ArgsError::AclUrl)
    }

    fn callback_allow(&self) -> String {
        if self.demo { format!("{LOOPBACK},{}", self.callback_allow) } else { self.callback_allow.clone() }
    }

    pub(super) fn addresses(&self) -> Result<AddressPolicy, ArgsError> {
        AddressPolicy::allowing(&self.callback_allow()).map_err(ArgsError::CallbackAllow)
    }

    pub(super) fn engine(&self) -> sqlite::Settings {
        sqlite::Settings {
            depth_limit: self.queue_limit.get(),
            // Whoever holds a lease is done with it before it ends, however long it may wait and ask.
            message_lease: self.decision_deadline + LEASE_MARGIN,
            callback_lease: self.callback_timeout + LEASE_MARGIN,
        }
    }

    pub(super) fn host(&self, component: Vec<u8>) -> Result<HostSettings, ArgsError> {
        if self.enqueue_timeout > MAX_ENQUEUE_TIMEOUT {
            return Err(ArgsError::EnqueueTimeout);
        }
        let variables = vec![
            ("CHARGEGATE_CALLBACK_ALLOW".to_owned(), self.callback_allow()),
            ("CHARGEGATE_ENQUEUE_TIMEOUT_MS".to_owned(), self.enqueue_timeout.as_millis().to_string()),
        ];
        let mut settings = HostSettings::new(component);
        settings.variables = variables;
        let cache = std::path::absolute(self.data_dir.join("compiled")).map_err(ArgsError::DataDir)?;
        settings.cache = Some(cache);
        // The component's own time limit comes first, so that it tells the client what happened.
        settings.limits.request_timeout = settings.limits.request_timeout.max(self.enqueue_timeout * 2);
        Ok(settings)
    }

    pub(super) fn worker(&self) -> Result<WorkerSettings, ArgsError> {
        let rules = DecisionRules::new(self.decision_deadline, self.acl_timeout, COMMIT_MARGIN);
        Ok(WorkerSettings {
            pipeline: PipelineSettings {
                window: self.window,
                slots: self.acl_slots,
                rules: rules.map_err(ArgsError::Rules)?,
                pace: Duration::ZERO,
            },
            delivery: DeliverySettings {
                concurrency: self.callbacks.get(),
                per_host: self.callbacks_per_host.get(),
                ..DeliverySettings::default()
            },
            retention: self.retention,
        })
    }
}

/// Where the build leaves the component: beside the folder of this program's profile.
fn built_component() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(|profile| profile.parent()).unwrap_or(&program);
    target.join("wasm32-wasip2").join("edge").join("chargegate_edge.wasm")
}
