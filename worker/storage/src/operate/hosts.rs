//! Receiver hosts with their health and their backlog.

use std::cmp::Reverse;
use std::collections::HashMap;

use chargegate_core::UnixMillis;
use serde::Serialize;

use crate::inspect::wire;

/// Maximum number of hosts in a list.
const MAX_HOSTS: usize = 500;

/// A receiver host in a list: one with pending callbacks or dead letters, unavailable, paused, or called recently.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReceiverHostSummary {
    /// The host.
    pub host: String,
    /// Start of the pause, if the host is paused.
    #[serde(serialize_with = "wire::optional_time")]
    pub paused_at: Option<UnixMillis>,
    /// Receivers of this host that workers call only by probes.
    pub unavailable: Vec<UnavailableHost>,
    /// Number of pending callbacks.
    pub pending: u64,
    /// Number of dead letters without the discarded ones.
    pub dead: u64,
    /// The last answer among recent attempts.
    pub last_answer: Option<LastAnswer>,
}

/// A receiver whose circuit breaker is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnavailableHost {
    /// Scheme and port of the receiver, such as `https 443`.
    pub receiver: String,
    /// Failed probes.
    pub probes: u64,
    /// Time of the next probe.
    #[serde(serialize_with = "wire::time")]
    pub probe_at: UnixMillis,
}

impl UnavailableHost {
    /// Splits the name of a receiver, as a worker stores it, into the host and the rest; `None` for an address that is not
    /// a host of a URL.
    #[must_use]
    pub fn split_name(receiver: &str) -> Option<(&str, String)> {
        let (scheme, rest) = receiver.split_once(' ')?;
        let (host, port) = rest.rsplit_once(' ')?;
        (scheme != "address").then(|| (host, format!("{scheme} {port}")))
    }
}

/// Result of the last attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastAnswer {
    /// Start of the attempt.
    #[serde(serialize_with = "wire::time")]
    pub at: UnixMillis,
    /// The result.
    pub result: String,
    /// HTTP status of the response.
    pub http_status: Option<u16>,
}

/// Collects the hosts of a list from the tables of a store.
#[derive(Debug, Default)]
pub struct HostSummaries(HashMap<String, ReceiverHostSummary>);

impl HostSummaries {
    /// Returns the summary of a host to fill in.
    pub fn host(&mut self, host: &str) -> &mut ReceiverHostSummary {
        self.0.entry(host.to_owned()).or_insert_with(|| ReceiverHostSummary {
            host: host.to_owned(),
            ..ReceiverHostSummary::default()
        })
    }

    /// Adds a receiver that workers found unavailable.
    pub fn add_unavailable(&mut self, receiver: &str, probes: u64, probe_at: UnixMillis) {
        if let Some((host, receiver)) = UnavailableHost::split_name(receiver) {
            self.host(host).unavailable.push(UnavailableHost { receiver, probes, probe_at });
        }
    }

    /// Returns the hosts, those with the largest backlog first.
    #[must_use]
    pub fn into_list(self) -> Vec<ReceiverHostSummary> {
        let mut hosts: Vec<ReceiverHostSummary> = self.0.into_values().collect();
        hosts.sort_unstable_by(|one, other| {
            let order = |host: &ReceiverHostSummary| Reverse(host.dead.saturating_add(host.pending));
            order(one).cmp(&order(other)).then_with(|| one.host.cmp(&other.host))
        });
        hosts.truncate(MAX_HOSTS);
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_receiver_is_split_into_host_scheme_and_port() {
        let check = |name, expected: Option<(&str, &str)>| {
            let split = UnavailableHost::split_name(name);
            assert_eq!(split.as_ref().map(|(host, rest)| (*host, rest.as_str())), expected, "{name}");
        };
        check("https a.example 443", Some(("a.example", "https 443")));
        check("http [2001:db8::1] 8080", Some(("[2001:db8::1]", "http 8080")));
        check("address 192.0.2.1 443", None);
        check("anything", None);
    }
}
