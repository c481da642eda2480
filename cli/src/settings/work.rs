//! What a worker is told.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use chargegate_core::{DecisionRules, callback_lease, message_lease, short_message_lease};
use chargegate_worker::{DeliverySettings, PipelineSettings, WorkerSettings};

use super::{SettingError, count};
use crate::duration;

/// Where a process tells how it is.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct OpsArgs {
    /// The address of health, readiness and metrics
    #[arg(long, env = "CHARGEGATE_OPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
    pub(crate) ops_listen: SocketAddr,
    /// How long a stop may take
    #[arg(long, env = "CHARGEGATE_GRACE", value_name = "TIME", default_value = "15s", value_parser = duration::parse_positive)]
    pub(crate) grace: Duration,
}

/// How requests are decided and clients called back.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct WorkerTuningArgs {
    /// A decision is made this long after a request was accepted
    #[arg(long, env = "CHARGEGATE_DECISION_DEADLINE", value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    decision_deadline: Duration,
    /// One call to the authorization service takes no longer
    #[arg(long, env = "CHARGEGATE_ACL_TIMEOUT", value_name = "TIME", default_value = "2s", value_parser = duration::parse_positive)]
    acl_timeout: Duration,
    /// Calls to the authorization service in flight at most, for each worker
    #[arg(long, env = "CHARGEGATE_ACL_SLOTS", value_name = "CALLS", default_value = "32", value_parser = count)]
    pub(crate) acl_slots: NonZeroUsize,
    /// Messages taken from the queue and not yet decided at most
    #[arg(long, env = "CHARGEGATE_WINDOW", value_name = "MESSAGES", default_value = "1024", value_parser = count)]
    window: NonZeroUsize,
    /// One attempt to deliver a callback takes no longer
    #[arg(long, env = "CHARGEGATE_CALLBACK_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    pub(crate) callback_timeout: Duration,
    /// Callbacks under way at most
    #[arg(long, env = "CHARGEGATE_CALLBACKS", value_name = "CALLBACKS", default_value = "512", value_parser = count)]
    callbacks: NonZeroUsize,
    /// Callbacks under way to one host at most
    #[arg(long, env = "CHARGEGATE_CALLBACKS_PER_HOST", value_name = "CALLBACKS", default_value = "64", value_parser = count)]
    pub(crate) callbacks_per_host: NonZeroUsize,
    /// How long finished requests are kept: the window in which a repeat is recognised
    #[arg(long, env = "CHARGEGATE_RETENTION", value_name = "TIME", default_value = "72h", value_parser = duration::parse_positive)]
    pub(crate) retention: Duration,
}

impl WorkerTuningArgs {
    /// How a worker works whose store commits no more often than once per `pace` under load.
    ///
    /// # Errors
    /// [`SettingError::Rules`]: the times do not fit together.
    pub(crate) fn worker(&self, pace: Duration) -> Result<WorkerSettings, SettingError> {
        let rules =
            DecisionRules::new(self.decision_deadline, self.acl_timeout, DecisionRules::COMMIT_MARGIN);
        Ok(WorkerSettings {
            pipeline: PipelineSettings {
                window: self.window,
                slots: self.acl_slots,
                rules: rules.map_err(SettingError::Rules)?,
                pace,
            },
            delivery: DeliverySettings {
                concurrency: self.callbacks.get(),
                per_host: self.callbacks_per_host.get(),
                pace,
                ..DeliverySettings::default()
            },
            retention: self.retention,
        })
    }

    /// How long after it was accepted a request is decided.
    pub(crate) fn decision_deadline(&self) -> Duration {
        self.decision_deadline
    }

    /// How long a message is leased: whoever holds it is done with it before, however long it may wait and ask.
    pub(crate) fn message_lease(&self) -> Duration {
        message_lease(self.decision_deadline)
    }

    /// The same where a lease cannot be given up early: what a worker held that died comes again only when it ends.
    pub(crate) fn shortest_message_lease(&self) -> Duration {
        short_message_lease(self.decision_deadline)
    }

    /// How long a callback is leased: longer than the longest attempt.
    pub(crate) fn callback_lease(&self) -> Duration {
        callback_lease(self.callback_timeout)
    }
}
