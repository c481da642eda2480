//! An emulator in this process, and everything a test does with it.

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

/// Cloudflare Queues in this process; it ends when dropped.
#[derive(Debug)]
pub struct CloudflareEmulator {
    shared: Arc<SharedEmulator>,
    server: EmulatorServer,
    address: SocketAddr,
}

/// What a queue holds now, and what became of what it held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Messages that could be pulled now.
    pub ready: usize,
    /// Messages that are held back for a while.
    pub delayed: usize,
    /// Messages whose lease has not ended.
    pub leased: usize,
    /// What became of messages since the start.
    pub outcomes: MessageOutcomes,
}

/// The emulator cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorStartError {
    /// Something that Cloudflare would not let be configured.
    #[error(transparent)]
    Settings(#[from] EmulatorSettingsError),
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl CloudflareEmulator {
    /// Starts on the runtime of the caller.
    ///
    /// # Errors
    /// The settings are out of Cloudflare's bounds, or the address cannot be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[expect(clippy::unused_async, reason = "it needs a runtime, which this says")]
    pub async fn start(settings: EmulatorSettings) -> Result<Self, EmulatorStartError> {
        settings.check()?;
        let address = settings.listen;
        let shared = Arc::new(SharedEmulator::new(EmulatorState::new(settings)));
        let listen_error = |source| EmulatorStartError::Listen { address, source };
        let server = EmulatorServer::start(address, Arc::clone(&shared)).map_err(listen_error)?;
        let address = server.address().map_err(listen_error)?;
        Ok(Self { shared, server, address })
    }

    /// Where it listens, also during an outage. Both protocols are there.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client of the API takes as its base URL.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}{}", self.address, api::BASE)
    }

    /// Begins an outage: every connection is cut and new ones are refused. Nothing is forgotten.
    pub async fn stop_listening(&self) {
        self.server.stop().await;
    }

    /// Ends an outage, on the same port.
    ///
    /// # Errors
    /// The system does not let it listen again.
    #[expect(clippy::unused_async, reason = "it needs a runtime, which this says")]
    pub async fn listen_again(&self) -> io::Result<()> {
        self.server.listen()
    }

    /// Spoils the next calls of an endpoint, after those faults that it has still to come.
    ///
    /// On [`EmulatorEndpoint::Pull`], what spoils only answers that hold messages waits for such an answer: [`EmulatorFault::CutAfter`],
    /// [`EmulatorFault::CutWithin`], [`EmulatorFault::Duplicate`] and [`EmulatorFault::WrongLeases`].
    pub fn inject(&self, endpoint: EmulatorEndpoint, fault: EmulatorFault, times: u32) {
        self.shared.state().0.faults.inject(endpoint, fault, times);
    }

    /// How many faults an endpoint has still to come.
    #[must_use]
    pub fn faults_left(&self, endpoint: EmulatorEndpoint) -> u32 {
        self.shared.state().0.faults.left(endpoint)
    }

    /// Forgets all faults that are still to come.
    pub fn clear_faults(&self) {
        self.shared.state().0.faults.clear();
    }

    /// Chooses how bodies of content type `json` come out of pulls.
    pub fn set_json_bodies(&self, form: JsonBodyForm) {
        self.shared.state().0.json_bodies = form;
    }

    /// Lets pulls bring so many messages at most, whatever is asked for.
    pub fn pull_at_most(&self, messages: usize) {
        self.shared.state().0.pull_at_most = messages;
    }

    /// Lets time pass at once: for visibility, delays, retention and rates.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// How often an endpoint was called, and for how much.
    #[must_use]
    pub fn calls(&self, endpoint: EmulatorEndpoint) -> EndpointTally {
        self.shared.state().0.calls.of(endpoint)
    }

    /// Looks at a queue by its id.
    #[must_use]
    pub fn queue(&self, id: &str) -> Option<QueueSnapshot> {
        let (mut state, now) = self.shared.state();
        state.queue(id).map(|queue| view(queue, now))
    }

    /// All messages that a queue holds, wherever they are, the oldest first; none if there is no such queue.
    #[must_use]
    pub fn messages(&self, id: &str) -> Vec<EmulatorMessage> {
        let (mut state, _) = self.shared.state();
        state.queue(id).map(|queue| queue.messages().cloned().collect()).unwrap_or_default()
    }

    /// Puts a message into a queue past all protocols and limits; false if there is no such queue.
    #[must_use]
    pub fn put(&self, id: &str, message: EmulatorMessage) -> bool {
        let (mut state, now) = self.shared.state();
        state.queue(id).map(|queue| queue.send(message, None, now)).is_some()
    }

    /// Changes a queue's settings in mid-run, past all bounds; false if there is no such queue.
    #[must_use]
    pub fn configure(&self, id: &str, change: impl FnOnce(&mut EmulatedQueueSettings)) -> bool {
        self.shared.state().0.queue(id).map(|queue| change(queue.settings_mut())).is_some()
    }

    /// Deletes a queue and all it holds.
    pub fn remove_queue(&self, id: &str) {
        self.shared.state().0.remove(id);
    }

    /// Withdraws a token in mid-run.
    pub fn revoke(&self, token: &str) {
        self.shared.state().0.tokens.retain(|known| known.token != token);
    }
}

fn view(queue: &EmulatedQueue, now: Duration) -> QueueSnapshot {
    let (ready, leased) = (queue.ready(now), queue.leased());
    let delayed = queue.messages().len().saturating_sub(ready).saturating_sub(leased);
    QueueSnapshot { ready, delayed, leased, outcomes: queue.outcomes() }
}
