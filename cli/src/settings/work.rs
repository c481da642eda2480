//! Flags of a worker.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use chargegate_core::{DecisionRules, callback_lease, message_lease, short_message_lease};
use chargegate_worker::{DeliverySettings, PipelineSettings, WorkerSettings};

use super::{SettingError, count};
use crate::duration;

/// Flags of the ops port and of the shutdown.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct OpsArgs {
    /// Address for health, readiness and metrics
    #[arg(long, env = "CHARGEGATE_OPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
    pub(crate) ops_listen: SocketAddr,
    /// Time limit for a graceful shutdown
    #[arg(long, env = "CHARGEGATE_GRACE", value_name = "TIME", default_value = "15s", value_parser = duration::parse_positive)]
    pub(crate) grace: Duration,
}

/// Flags that tune decisions and callbacks.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct WorkerTuningArgs {
    /// Time from accepting a request to its decision
    #[arg(long, env = "CHARGEGATE_DECISION_DEADLINE", value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    decision_deadline: Duration,
    /// Time limit of one call to the authorization service
    #[arg(long, env = "CHARGEGATE_ACL_TIMEOUT", value_name = "TIME", default_value = "2s", value_parser = duration::parse_positive)]
    acl_timeout: Duration,
    /// Maximum number of concurrent calls to the authorization service, over all workers that share a store
    #[arg(long, env = "CHARGEGATE_ACL_SLOTS", value_name = "CALLS", default_value = "32", value_parser = count::<NonZeroU32>)]
    pub(crate) acl_slots: NonZeroU32,
    /// Maximum number of messages that are leased and not yet decided
    #[arg(long, env = "CHARGEGATE_WINDOW", value_name = "MESSAGES", default_value = "8192", value_parser = count::<NonZeroUsize>)]
    window: NonZeroUsize,
    /// Time limit of one attempt to deliver a callback
    #[arg(long, env = "CHARGEGATE_CALLBACK_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    pub(crate) callback_timeout: Duration,
    /// Maximum number of callbacks in flight
    #[arg(long, env = "CHARGEGATE_CALLBACKS", value_name = "CALLBACKS", default_value = "512", value_parser = count::<NonZeroUsize>)]
    callbacks: NonZeroUsize,
    /// Maximum number of callbacks in flight to one host
    #[arg(long, env = "CHARGEGATE_CALLBACKS_PER_HOST", value_name = "CALLBACKS", default_value = "64", value_parser = count::<NonZeroUsize>)]
    pub(crate) callbacks_per_host: NonZeroUsize,
    /// Maximum number of callbacks that wait for one host; beyond it new ones become dead letters
    #[arg(long, env = "CHARGEGATE_CALLBACKS_PENDING_PER_HOST", value_name = "CALLBACKS", default_value = "100000", value_parser = count::<NonZeroU32>)]
    callbacks_pending_per_host: NonZeroU32,
    /// Time that finished requests are kept, and repeats of them recognised
    #[arg(long, env = "CHARGEGATE_RETENTION", value_name = "TIME", default_value = "72h", value_parser = duration::parse_positive)]
    pub(crate) retention: Duration,
}

impl WorkerTuningArgs {
    /// Returns the settings of a worker whose store commits at most once per `pace` under load.
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
                record_interval: pace,
            },
            delivery: DeliverySettings {
                concurrency: self.callbacks.get(),
                per_host: self.callbacks_per_host.get(),
                pending_per_host: self.callbacks_pending_per_host.get(),
                report_interval: pace,
                ..DeliverySettings::default()
            },
            retention: self.retention,
        })
    }

    /// Returns the most idle connections to the authorization service.
    pub(crate) fn acl_connections(&self) -> usize {
        usize::try_from(self.acl_slots.get()).unwrap_or(usize::MAX)
    }

    /// Returns the time from accepting a request to its decision.
    pub(crate) fn decision_deadline(&self) -> Duration {
        self.decision_deadline
    }

    /// Returns the lease of a message: longer than a worker waits for a slot, asks, and records the decision.
    pub(crate) fn message_lease(&self) -> Duration {
        message_lease(self.decision_deadline)
    }

    /// Returns the lease of a message on engines where it cannot be ended early: messages of a dead worker are
    /// delivered again only when it expires, so it is as short as possible.
    pub(crate) fn shortest_message_lease(&self) -> Duration {
        short_message_lease(self.decision_deadline)
    }

    /// Returns the lease of a callback: longer than the longest attempt.
    pub(crate) fn callback_lease(&self) -> Duration {
        callback_lease(self.callback_timeout)
    }
}
