//! The emulator in this process, with the controls that tests need.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::api;
use crate::calls::{EmulatorEndpoint, EndpointTally};
use crate::fault::EmulatorFault;
use crate::message::{EmulatorMessage, JsonBodyForm};
use crate::queue::{EmulatedQueue, MessageOutcomes};
use crate::server::EmulatorServer;
use crate::service::SharedEmulator;
use crate::settings::{EmulatedQueueSettings, EmulatorSettings, EmulatorSettingsError};
use crate::state::EmulatorState;

/// Cloudflare Queues in this process; dropping it stops it.
#[derive(Debug)]
pub struct CloudflareEmulator {
    shared: Arc<SharedEmulator>,
    server: EmulatorServer,
    address: SocketAddr,
}

/// Number of messages in a queue by state, and the outcomes of former messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmulatedQueueSnapshot {
    /// Messages that a pull would deliver now.
    pub ready: usize,
    /// Messages whose delay has not passed.
    pub delayed: usize,
    /// Messages whose lease has not ended.
    pub leased: usize,
    /// Outcomes of messages since the start.
    pub outcomes: MessageOutcomes,
}

/// Reason why the emulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorStartError {
    /// A setting is outside Cloudflare's limits.
    #[error(transparent)]
    Settings(#[from] EmulatorSettingsError),
    /// Binding the address failed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

impl CloudflareEmulator {
    /// Starts the emulator on the caller's runtime.
    ///
    /// # Errors
    /// A setting is outside Cloudflare's limits, or the address cannot be bound.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    #[expect(clippy::unused_async, reason = "spawning needs a runtime, which an async signature guarantees")]
    pub async fn start(settings: EmulatorSettings) -> Result<Self, EmulatorStartError> {
        settings.check()?;
        let address = settings.listen;
        let shared = Arc::new(SharedEmulator::new(EmulatorState::new(settings)));
        let listen_error = |source| EmulatorStartError::Listen { address, source };
        let server = EmulatorServer::start(address, Arc::clone(&shared)).map_err(listen_error)?;
        let address = server.address().map_err(listen_error)?;
        Ok(Self { shared, server, address })
    }

    /// Returns the address of both protocols, also during an outage.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL for clients of the API.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}{}", self.address, api::BASE)
    }

    /// Begins an outage: cuts every connection and refuses new ones. The state is kept.
    pub async fn stop_listening(&self) {
        self.server.stop().await;
    }

    /// Ends an outage by listening on the same port again.
    ///
    /// # Errors
    /// Binding the port failed.
    #[expect(clippy::unused_async, reason = "spawning needs a runtime, which an async signature guarantees")]
    pub async fn listen_again(&self) -> io::Result<()> {
        self.server.listen()
    }

    /// Schedules a fault for the next calls of an endpoint, after the faults that are already scheduled.
    ///
    /// On [`EmulatorEndpoint::Pull`], faults that need messages wait for a pull that returns some: [`EmulatorFault::CutAfter`],
    /// [`EmulatorFault::CutWithin`], [`EmulatorFault::Duplicate`] and [`EmulatorFault::WrongLeases`].
    pub fn inject(&self, endpoint: EmulatorEndpoint, fault: EmulatorFault, times: u32) {
        self.shared.state().0.faults.inject(endpoint, fault, times);
    }

    /// Returns the number of faults that are still scheduled for an endpoint.
    #[must_use]
    pub fn faults_left(&self, endpoint: EmulatorEndpoint) -> u32 {
        self.shared.state().0.faults.left(endpoint)
    }

    /// Removes all scheduled faults.
    pub fn clear_faults(&self) {
        self.shared.state().0.faults.clear();
    }

    /// Sets the form of `json` bodies in pulled messages.
    pub fn set_json_bodies(&self, form: JsonBodyForm) {
        self.shared.state().0.json_bodies = form;
    }

    /// Limits the number of messages per pull, whatever batch size a client requests.
    pub fn pull_at_most(&self, messages: usize) {
        self.shared.state().0.pull_at_most = messages;
    }

    /// Advances the clock for visibility timeouts, delays, retention and rates.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// Returns the counters of an endpoint.
    #[must_use]
    pub fn calls(&self, endpoint: EmulatorEndpoint) -> EndpointTally {
        self.shared.state().0.calls.of(endpoint)
    }

    /// Returns a snapshot of the queue with this id.
    #[must_use]
    pub fn queue(&self, id: &str) -> Option<EmulatedQueueSnapshot> {
        let (mut state, now) = self.shared.state();
        state.queue(id).map(|queue| view(queue, now))
    }

    /// Returns all messages of a queue in any state, oldest first; empty if the queue does not exist.
    #[must_use]
    pub fn messages(&self, id: &str) -> Vec<EmulatorMessage> {
        let (mut state, _) = self.shared.state();
        state.queue(id).map(|queue| queue.messages().cloned().collect()).unwrap_or_default()
    }

    /// Adds a message to a queue, bypassing protocols and limits; returns false if the queue does not exist.
    #[must_use]
    pub fn put(&self, id: &str, message: EmulatorMessage) -> bool {
        let (mut state, now) = self.shared.state();
        state.queue(id).map(|queue| queue.send(message, None, now)).is_some()
    }

    /// Changes the settings of a running queue without checks; returns false if the queue does not exist.
    #[must_use]
    pub fn configure(&self, id: &str, change: impl FnOnce(&mut EmulatedQueueSettings)) -> bool {
        self.shared.state().0.queue(id).map(|queue| change(queue.settings_mut())).is_some()
    }

    /// Deletes a queue and its messages.
    pub fn remove_queue(&self, id: &str) {
        self.shared.state().0.remove(id);
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        self.shared.state().0.tokens.retain(|known| known.token != token);
    }
}

fn view(queue: &EmulatedQueue, now: Duration) -> EmulatedQueueSnapshot {
    let (ready, leased) = (queue.ready(now), queue.leased());
    let delayed = queue.messages().len().saturating_sub(ready).saturating_sub(leased);
    EmulatedQueueSnapshot { ready, delayed, leased, outcomes: queue.outcomes() }
}
