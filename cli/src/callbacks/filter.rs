//! Flags that select callbacks.

use std::time::Duration;

use chargegate_core::{DecisionReason, DecisionStatus};
use chargegate_storage::operate::{CallbackFilter, CallbackState, ReceiverHostName};
use clap::builder::PossibleValuesParser;

use crate::timestamp::unix_millis;
use crate::{duration, system};

/// Flags that select callbacks.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct CallbackFilterArgs {
    /// State of the callbacks [default: dead]
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(CallbackState::ALL.map(CallbackState::as_str)))]
    state: Option<String>,
    /// Only to this host, as in the callback URL
    #[arg(long, value_name = "HOST")]
    host: Option<ReceiverHostName>,
    /// Only with this status of the decision
    #[arg(long, value_name = "STATUS", value_parser = PossibleValuesParser::new(DecisionStatus::ALL.map(DecisionStatus::as_str)))]
    status: Option<String>,
    /// Only with this reason of the decision
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(DecisionReason::ALL.map(DecisionReason::as_str)))]
    reason: Option<String>,
    /// Only given up for this reason, such as gone
    #[arg(long, value_name = "REASON")]
    give_up: Option<String>,
    /// Only decided within this time, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    since: Option<Duration>,
    /// Only decided longer ago than this time
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    until: Option<Duration>,
}

impl CallbackFilterArgs {
    /// Returns the filter.
    pub(super) fn filter(self) -> CallbackFilter {
        let ago = |ago| unix_millis(system::now()).minus(ago);
        let Self { state, host, status, reason, give_up, since, until } = self;
        let state = state.and_then(|state| state.parse().ok()).unwrap_or_default();
        CallbackFilter { state, host, status, reason, give_up, since: since.map(ago), until: until.map(ago) }
    }

    /// Returns whether no flag is given.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.state, &self.status, &self.reason, &self.give_up];
        texts.iter().all(|text| text.is_none())
            && self.host.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }
}
