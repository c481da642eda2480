//! Idle connections to receivers that are called repeatedly.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use chargegate_core::{CallbackScheme, CallbackUrl};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::either::Either;

use super::connector::ReceiverStream;

/// Time after which an idle connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Size of the table of receivers that were called; a power of two.
const CALLED_TABLE_SIZE: usize = 8192;

/// Idle connections, a limited number in all; the one that is idle longest is closed first.
///
/// Clients choose the receivers. A connection to a receiver that is called once would only occupy a descriptor, so it is
/// kept from the second call on.
#[derive(Debug)]
pub(super) struct IdleConnections {
    capacity: usize,
    hasher: RandomState,
    state: Mutex<IdleState>,
}

#[derive(Debug)]
struct IdleState {
    /// In the order of the time since which they are idle.
    connections: VecDeque<IdleConnection>,
    /// Hashes of receivers that were called, each in its slot of a table; a collision forgets the earlier one.
    called: Box<[u64]>,
}

#[derive(Debug)]
struct IdleConnection {
    receiver: ReceiverAuthority,
    since: Instant,
    address: IpAddr,
    stream: ReceiverStream,
}

/// The receiver of a connection: two names never share one, even at the same address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReceiverAuthority {
    is_https: bool,
    host: Box<str>,
    port: u16,
}

impl From<&CallbackUrl> for ReceiverAuthority {
    fn from(url: &CallbackUrl) -> Self {
        Self {
            is_https: url.scheme() == CallbackScheme::Https,
            host: url.host_str().into(),
            port: url.port(),
        }
    }
}

impl IdleConnections {
    /// Creates a pool of at most `capacity` connections.
    pub(super) fn new(capacity: usize) -> Self {
        let state = IdleState { connections: VecDeque::new(), called: vec![0; CALLED_TABLE_SIZE].into() };
        Self { capacity, hasher: RandomState::new(), state: Mutex::new(state) }
    }

    /// Takes the connection to `receiver` that is idle for the shortest time, with its address.
    pub(super) fn take(&self, receiver: &ReceiverAuthority) -> Option<(ReceiverStream, IpAddr)> {
        let mut state = self.state.lock();
        state.close_expired();
        loop {
            let at = state.connections.iter().rposition(|idle| idle.receiver == *receiver)?;
            let idle = state.connections.remove(at)?;
            if is_open(&idle.stream) {
                return Some((idle.stream, idle.address));
            }
        }
    }

    /// Keeps a connection if its receiver was called before.
    pub(super) fn put(&self, receiver: ReceiverAuthority, stream: ReceiverStream, address: IpAddr) {
        let hash = self.hasher.hash_one(&receiver).max(1);
        let mut state = self.state.lock();
        state.close_expired();
        let slot = usize::try_from(hash).unwrap_or(usize::MAX) & (CALLED_TABLE_SIZE - 1);
        let was_called =
            state.called.get_mut(slot).is_some_and(|called| std::mem::replace(called, hash) == hash);
        if !was_called || self.capacity == 0 {
            return;
        }
        while state.connections.len() >= self.capacity {
            state.connections.pop_front();
        }
        state.connections.push_back(IdleConnection { receiver, since: Instant::now(), address, stream });
    }

    /// Closes the connections that are idle for too long.
    pub(super) fn close_expired(&self) {
        self.state.lock().close_expired();
    }
}

impl IdleState {
    fn close_expired(&mut self) {
        while self.connections.front().is_some_and(|idle| idle.since.elapsed() >= IDLE_TIMEOUT) {
            self.connections.pop_front();
        }
    }
}

/// Returns whether the receiver has not closed the connection. Unsolicited bytes end a plain connection; of TLS they may be
/// session tickets.
fn is_open(stream: &ReceiverStream) -> bool {
    let (tcp, is_tls) = match stream {
        Either::Left(tcp) => (tcp, false),
        Either::Right(tls) => (tls.get_ref().0, true),
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut byte = [0];
    match tcp.poll_peek(&mut context, &mut tokio::io::ReadBuf::new(&mut byte)) {
        std::task::Poll::Pending => true,
        std::task::Poll::Ready(Ok(1..)) => is_tls,
        std::task::Poll::Ready(_) => false,
    }
}
