//! Admission of attempts: limits of concurrency by host and by address, and the health of receivers.
//!
//! A host is what a client names, an address is what it resolves to: many names may lead to one address, so both have
//! limits. A quarter of all slots, and of the slots of each host and each address, is kept for hosts that were called
//! successfully before, so that strangers cannot take all of them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{CallbackScheme, CallbackUrl, ReceiverAdmission, ReceiverHealth, ReceiverResponse};
use chargegate_storage::Effects;
use chargegate_storage::store::{MAX_UNAVAILABLE_RECEIVERS, UnavailableReceiver};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::metric;

/// Most receivers whose health is kept.
const MAX_RECEIVERS: usize = 20_000;
/// Most hosts whose pending callbacks are counted at a time, besides those that have too many.
const MAX_COUNTED_BACKLOGS: usize = 100;
/// Most look-ups for each slot.
const LOOKUPS_PER_SLOT: usize = 4;
/// Most connections for each slot: several addresses of a name may be tried side by side.
const CONNECTIONS_PER_SLOT: usize = 2;
/// Limit of an address, in limits of a host: several hosts may share an address, so none of them may occupy it alone.
const HOSTS_PER_ADDRESS: usize = 2;
/// Time for which new callbacks wait behind one to the same host that found no slot.
const WAITING_DURATION: Duration = Duration::from_secs(1);
/// Time after a success for which a host counts as proven.
const PROVEN_DURATION: Duration = Duration::from_mins(10);
/// Shortest time between two removals for want of room.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two removals of health that has expired.
const EXPIRY_INTERVAL: Duration = Duration::from_mins(1);

/// Admission of attempts; clones share it.
#[derive(Clone)]
pub(super) struct Receivers {
    shared: Arc<ReceiversShared>,
}

struct ReceiversShared {
    total: usize,
    per_host: usize,
    start: Instant,
    effects: Effects,
    state: Mutex<ReceiversState>,
}

#[derive(Default)]
struct ReceiversState {
    /// Attempts whose name is being looked up. They occupy no slot: names that resolve slowly delay no others.
    looking_up: usize,
    /// Attempts with a slot.
    exchanging: usize,
    by_host: HashMap<Box<str>, usize>,
    by_address: HashMap<IpAddr, usize>,
    /// Connections of attempts, those that are being opened side by side included.
    connections: usize,
    health: HashMap<ReceiverKey, ReceiverHealth>,
    /// Time of the last removal for want of room.
    pruned_at: Duration,
    /// Time of the last removal of what has expired.
    expired_at: Duration,
    /// Receivers whose availability changed since it was last stored.
    changed: HashSet<ReceiverKey>,
    /// Receivers that the store had as unavailable when it was last read.
    stored: HashSet<ReceiverKey>,
    /// Hosts of callbacks that found no slot and wait in the store, with the time of the last of them.
    waiting: HashMap<Box<str>, Duration>,
    /// Hosts of new callbacks that did not begin at once, since their backlog was last counted.
    refused: HashSet<Box<str>>,
    /// Hosts to which too many callbacks are pending.
    backlogged: HashSet<Box<str>>,
}

/// A receiver whose health counts. The port belongs to it: a client that names a dead port of a foreign receiver must not
/// make the others unavailable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ReceiverKey {
    Host(CallbackScheme, Box<str>, u16),
    Address(IpAddr, u16),
}

/// The reason why an attempt does not begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A limit is reached.
    Full,
    /// The receiver is unavailable; the next probe is due after this time.
    Unavailable(Duration),
}

/// Receivers whose availability changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AvailabilityChanges {
    pub(super) unavailable: Vec<UnavailableReceiver>,
    /// Names of receivers in the store.
    pub(super) available: Vec<String>,
    /// The hosts among them.
    pub(super) available_hosts: Vec<Box<str>>,
}

/// Permission for one attempt, returned on drop. The attempt has a slot from [`HostPermit::acquire_slot`] on.
pub(super) struct HostPermit {
    receivers: Receivers,
    key: ReceiverKey,
    host: Box<str>,
    port: u16,
    has_slot: bool,
    /// Whether the attempt is a probe of the host whose result is not recorded yet.
    is_probe: bool,
}

/// The slot of a connection at its address, returned on drop.
pub(super) struct AddressPermit {
    receivers: Receivers,
    key: ReceiverKey,
    block: IpAddr,
    /// Whether the connection is a probe of the address whose result is not recorded yet.
    is_probe: bool,
}

impl Receivers {
    /// Creates the admission of at most `total` attempts, `per_host` of them to one host and twice as many to one address.
    pub(super) fn new(total: usize, per_host: usize, effects: Effects) -> Self {
        let shared =
            ReceiversShared { total, per_host, start: Instant::now(), effects, state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Admits an attempt to the host of `url`.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub(super) fn admit(&self, url: &CallbackUrl) -> Result<HostPermit, Refusal> {
        let host = url.host_str();
        let key = ReceiverKey::Host(url.scheme(), host.into(), url.port());
        let now = self.now();
        let mut state = self.shared.state.lock();
        let of_host = state.by_host.get(host).copied().unwrap_or(0);
        let is_proven = state.is_proven(&key, now);
        let is_full = state.exchanging >= limit_for(self.shared.total, is_proven)
            || state.looking_up >= self.shared.total.saturating_mul(LOOKUPS_PER_SLOT)
            || of_host >= limit_for(self.shared.per_host, is_proven);
        if is_full {
            return Err(Refusal::Full);
        }
        let is_probe = state.admit(&key, now, self.jitter()).map_err(Refusal::Unavailable)?;
        state.looking_up += 1;
        state.by_host.insert(host.into(), of_host + 1);
        Ok(HostPermit {
            receivers: self.clone(),
            key,
            host: host.into(),
            port: url.port(),
            has_slot: false,
            is_probe,
        })
    }

    /// Returns the number of free slots in all, and the attempts in flight by host.
    pub(super) fn snapshot(&self) -> (usize, HashMap<Box<str>, usize>) {
        let state = self.shared.state.lock();
        let lookups = self.shared.total.saturating_mul(LOOKUPS_PER_SLOT).saturating_sub(state.looking_up);
        (self.shared.total.saturating_sub(state.exchanging).min(lookups), state.by_host.clone())
    }

    /// Returns the most attempts to one host.
    pub(super) fn per_host(&self) -> usize {
        self.shared.per_host
    }

    /// Notes that a callback to `host` waits in the store.
    pub(super) fn note_waiting(&self, host: &str) {
        let now = self.now();
        let mut state = self.shared.state.lock();
        // Beyond the limit a new callback may overtake one that waits, which harms less than a table without bound.
        if state.waiting.len() < MAX_RECEIVERS {
            state.waiting.insert(host.into(), now);
        }
    }

    /// Returns whether callbacks to `host` found no slot just now and wait in the store. Later on a new callback may
    /// overtake them: a claim that always finds others must not delay first attempts for long.
    pub(super) fn is_waiting(&self, host: &str) -> bool {
        let now = self.now();
        let state = self.shared.state.lock();
        state.waiting.get(host).is_some_and(|noted_at| now < noted_at.saturating_add(WAITING_DURATION))
    }

    /// Notes that the store was asked for all hosts with free slots, and returned callbacks of `found`.
    pub(super) fn note_claimed(&self, found: &HashSet<&str>) {
        let per_host = self.shared.per_host;
        let mut state = self.shared.state.lock();
        let ReceiversState { waiting, by_host, .. } = &mut *state;
        waiting.retain(|host, _| {
            found.contains(&**host) || by_host.get(host).is_some_and(|in_flight| *in_flight >= per_host)
        });
    }

    /// Notes that a new callback to `host` does not begin at once. Returns whether too many others are pending.
    pub(super) fn note_refused(&self, host: &str) -> bool {
        let mut state = self.shared.state.lock();
        if state.backlogged.contains(host) {
            return true;
        }
        if state.refused.len() < MAX_COUNTED_BACKLOGS {
            state.refused.insert(host.into());
        }
        false
    }

    /// Takes the hosts whose pending callbacks have to be counted.
    pub(super) fn take_refused(&self) -> Vec<Box<str>> {
        let mut state = self.shared.state.lock();
        let refused = std::mem::take(&mut state.refused);
        state.backlogged.iter().cloned().chain(refused).collect()
    }

    /// Sets the hosts to which too many callbacks are pending.
    pub(super) fn set_backlogged(&self, hosts: Vec<Box<str>>) {
        self.shared.state.lock().backlogged = hosts.into_iter().collect();
    }

    /// Takes the receivers whose availability changed since the last call.
    pub(super) fn take_changes(&self) -> AvailabilityChanges {
        let now = self.now();
        let mut state = self.shared.state.lock();
        if now >= state.expired_at.saturating_add(EXPIRY_INTERVAL) {
            state.remove_expired(now);
            state.waiting.retain(|_, noted_at| now < noted_at.saturating_add(WAITING_DURATION));
        }
        let mut changes = AvailabilityChanges::default();
        for key in std::mem::take(&mut state.changed) {
            if let Some((probes, probe_at)) = state.health.get(&key).and_then(ReceiverHealth::backoff) {
                changes.unavailable.push(UnavailableReceiver {
                    receiver: key.name(),
                    probes,
                    probe_after: probe_at.saturating_sub(now),
                });
                continue;
            }
            changes.available.push(key.name());
            if let ReceiverKey::Host(_, host, _) = key {
                changes.available_hosts.push(host);
            }
        }
        changes
    }

    /// Notes again that these changes have to be stored.
    pub(super) fn restore_changes(&self, changes: AvailabilityChanges) {
        let unavailable = changes.unavailable.into_iter().map(|found| found.receiver);
        let keys = unavailable.chain(changes.available).filter_map(|name| ReceiverKey::parse(&name));
        self.shared.state.lock().changed.extend(keys);
    }

    /// Joins the receivers that other workers, or an earlier run of this one, found unavailable. Those that were stored and
    /// are not any more have accepted a callback of another worker.
    pub(super) fn join(&self, unavailable: &[UnavailableReceiver]) {
        let now = self.now();
        let mut state = self.shared.state.lock();
        let mut stored = HashSet::new();
        for UnavailableReceiver { receiver, probes, probe_after } in unavailable {
            let Some(key) = ReceiverKey::parse(receiver) else { continue };
            stored.insert(key.clone());
            // What was recorded here and is not yet stored is newer.
            if state.changed.contains(&key) {
                continue;
            }
            let Some(health) = state.health_of(&key, now) else { continue };
            if !health.join(now, *probes, now.saturating_add(*probe_after)) {
                state.changed.insert(key);
            }
        }
        let earlier = std::mem::take(&mut state.stored);
        if unavailable.len() < MAX_UNAVAILABLE_RECEIVERS {
            let state = &mut *state;
            for key in earlier.difference(&stored).filter(|key| !state.changed.contains(*key)) {
                if let Some(health) = state.health.get_mut(key) {
                    health.recover();
                }
            }
        }
        state.stored = stored;
        state.measure();
    }

    fn record(&self, key: &ReceiverKey, response: ReceiverResponse) {
        let (now, jitter) = (self.now(), self.jitter());
        let mut state = self.shared.state.lock();
        let Some(health) = state.health_of(key, now) else { return };
        let before = health.backoff();
        health.record(response, now, jitter);
        if health.backoff() != before {
            state.changed.insert(key.clone());
            state.measure();
        }
    }

    fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    fn jitter(&self) -> u32 {
        self.shared.effects.random.jitter()
    }
}

impl ReceiversState {
    /// Admits an attempt to a receiver and returns whether it is a probe, or returns the wait until the next probe.
    fn admit(&mut self, key: &ReceiverKey, now: Duration, jitter: u32) -> Result<bool, Duration> {
        match self.health.get_mut(key).map(|health| health.admit(now, jitter)) {
            None | Some(ReceiverAdmission::Attempt) => Ok(false),
            Some(ReceiverAdmission::Probe) => Ok(true),
            Some(ReceiverAdmission::Wait(wait)) => Err(wait),
        }
    }

    fn cancel_probe(&mut self, key: &ReceiverKey, now: Duration) {
        if let Some(health) = self.health.get_mut(key) {
            health.cancel_probe(now);
        }
    }

    fn is_proven(&self, key: &ReceiverKey, now: Duration) -> bool {
        self.health.get(key).is_some_and(|health| is_proven(health, now))
    }

    /// Returns the health of a receiver to change it, or `None` if there is no room for another one.
    fn health_of(&mut self, key: &ReceiverKey, now: Duration) -> Option<&mut ReceiverHealth> {
        if self.health.len() >= MAX_RECEIVERS && !self.health.contains_key(key) {
            if now < self.pruned_at.saturating_add(PRUNE_INTERVAL) {
                return None;
            }
            self.prune(now);
            if self.health.len() >= MAX_RECEIVERS {
                return None;
            }
        }
        Some(self.health.entry(key.clone()).or_default())
    }

    /// Removes the health of receivers of which the least is known, until there is room for others. That of proven hosts
    /// stays: clients can name as many strangers as they want.
    fn prune(&mut self, now: Duration) {
        self.pruned_at = now;
        self.remove_expired(now);
        let keeps: [fn(&ReceiverHealth) -> bool; 3] =
            [ReceiverHealth::is_failing, |health| health.backoff().is_some(), |_| false];
        for keep in keeps {
            if self.health.len() >= MAX_RECEIVERS {
                self.health.retain(|_, health| is_proven(health, now) || keep(health));
            }
        }
    }

    fn remove_expired(&mut self, now: Duration) {
        self.expired_at = now;
        self.health.retain(|_, health| !health.is_expired(now));
        self.measure();
    }

    fn measure(&self) {
        let unavailable = self.health.values().filter(|health| health.backoff().is_some()).count();
        metric::set_gauge(metric::RECEIVERS_UNAVAILABLE, u64::try_from(unavailable).unwrap_or(u64::MAX));
    }
}

impl HostPermit {
    /// Acquires a slot for the exchange, after the name was looked up.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub(super) fn acquire_slot(&mut self) -> Result<(), Refusal> {
        let shared = &self.receivers.shared;
        let now = self.receivers.now();
        let mut state = shared.state.lock();
        if state.exchanging >= limit_for(shared.total, state.is_proven(&self.key, now)) {
            return Err(Refusal::Full);
        }
        state.looking_up = state.looking_up.saturating_sub(1);
        state.exchanging += 1;
        self.has_slot = true;
        Ok(())
    }

    /// Acquires a slot at one of the host's addresses; `is_additional` is set if the attempt has one already, since then
    /// the total of connections counts too.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub(super) fn try_address(&self, address: IpAddr, is_additional: bool) -> Result<AddressPermit, Refusal> {
        let block = address_block(address);
        let key = ReceiverKey::Address(address.to_canonical(), self.port);
        let now = self.receivers.now();
        let shared = &self.receivers.shared;
        let mut state = shared.state.lock();
        let is_proven = state.is_proven(&self.key, now);
        let in_flight = state.by_address.get(&block).copied().unwrap_or(0);
        let limit = limit_for(shared.per_host.saturating_mul(HOSTS_PER_ADDRESS), is_proven);
        let most = shared.total.saturating_mul(CONNECTIONS_PER_SLOT);
        if in_flight >= limit || (is_additional && state.connections >= most) {
            return Err(Refusal::Full);
        }
        // A proven host may have others beside it at its address that are not available.
        let is_probe = if is_proven {
            false
        } else {
            state.admit(&key, now, self.receivers.jitter()).map_err(Refusal::Unavailable)?
        };
        state.by_address.insert(block, in_flight + 1);
        state.connections += 1;
        Ok(AddressPermit { receivers: self.receivers.clone(), key, block, is_probe })
    }

    /// Records the result of the attempt.
    pub(super) fn record(&mut self, response: ReceiverResponse) {
        self.is_probe = false;
        self.receivers.record(&self.key, response);
    }
}

impl AddressPermit {
    /// Records that the address accepted the connection, whatever its host does with it.
    pub(super) fn record_connected(&mut self) {
        self.is_probe = false;
        self.receivers.record(&self.key, ReceiverResponse::Accepted);
    }

    /// Records that the address did not accept the connection.
    pub(super) fn record_unconnected(&mut self) {
        self.is_probe = false;
        self.receivers.record(&self.key, ReceiverResponse::Missing);
    }
}

impl ReceiverKey {
    /// Returns the name in the store.
    fn name(&self) -> String {
        match self {
            Self::Host(CallbackScheme::Http, host, port) => format!("http {host} {port}"),
            Self::Host(CallbackScheme::Https, host, port) => format!("https {host} {port}"),
            Self::Address(address, port) => format!("address {address} {port}"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split(' ');
        let (kind, receiver, port) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        match kind {
            "http" => Some(Self::Host(CallbackScheme::Http, receiver.into(), port)),
            "https" => Some(Self::Host(CallbackScheme::Https, receiver.into(), port)),
            "address" => Some(Self::Address(receiver.parse().ok()?, port)),
            _ => None,
        }
    }
}

impl Drop for HostPermit {
    fn drop(&mut self) {
        let mut state = self.receivers.shared.state.lock();
        if self.is_probe {
            state.cancel_probe(&self.key, self.receivers.now());
        }
        let count = if self.has_slot { &mut state.exchanging } else { &mut state.looking_up };
        *count = count.saturating_sub(1);
        decrement(&mut state.by_host, &self.host);
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut state = self.receivers.shared.state.lock();
        if self.is_probe {
            state.cancel_probe(&self.key, self.receivers.now());
        }
        state.connections = state.connections.saturating_sub(1);
        decrement(&mut state.by_address, &self.block);
    }
}

fn decrement<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Returns a limit for receivers that are proven, or for others: without the quarter that is kept for the proven ones.
const fn limit_for(limit: usize, is_proven: bool) -> usize {
    if is_proven { limit } else { limit - limit / 4 }
}

fn is_proven(health: &ReceiverHealth, now: Duration) -> bool {
    // A refusal comes soon and holds no slot.
    !health.is_silent()
        && health.last_success().is_some_and(|success| now < success.saturating_add(PROVEN_DURATION))
}

/// Returns the addresses that one party usually controls as one: an IPv4 address, or a /64 of IPv6.
fn address_block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests;
