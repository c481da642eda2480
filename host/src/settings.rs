//! What a host is told at start.

use std::path::PathBuf;
use std::time::Duration;

/// What to run, and within which limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// The environment variables the component sees; it sees no others.
    pub variables: Vec<(String, String)>,
    /// Where compiled components are kept, so that the next start need not compile; `None` compiles at every start.
    pub cache: Option<PathBuf>,
    /// The limits.
    pub limits: Limits,
}

impl Settings {
    /// Runs `component` without variables and cache, within the default limits.
    #[must_use]
    pub fn new(component: Vec<u8>) -> Self {
        Self { component, variables: Vec::new(), cache: None, limits: Limits::default() }
    }
}

/// The limits a host keeps, whatever the component and its clients do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the head of a request to its answer: 5 s.
    pub request_timeout: Duration,
    /// For a client to send the head of a request, idle time on a kept connection included: 15 s.
    pub header_timeout: Duration,
    /// For a client to take the next part of an answer: 15 s.
    pub write_timeout: Duration,
    /// The longest head of a request, in bytes, give or take what one read brings: 32 KiB.
    pub request_head: usize,
    /// From the wish to stop until connections are cut: 10 s.
    pub drain_timeout: Duration,
    /// The longest request body that reaches the component, in bytes: 16 KiB.
    ///
    /// It lies above the component's own limit, which tells the client more.
    pub request_body: usize,
    /// The longest body the component may answer, in bytes: 256 KiB.
    pub response_body: usize,
    /// The memory one instance may have, in bytes: 16 MiB.
    pub memory: usize,
    /// Connections open at once; further ones wait in the listener's backlog: 1,024.
    pub connections: usize,
    /// Requests in the component at once; further ones wait for their turn, up to the request timeout: 256.
    pub requests: usize,
    /// Requests in one instance at once: 16.
    pub requests_per_instance: usize,
    /// Requests one instance serves before another takes its place: 10,000.
    pub instance_reuse: usize,
    /// How long an instance without requests is kept: 5 s.
    pub instance_idle: Duration,
}

impl Limits {
    /// The limits as they are when nothing else is said.
    pub const DEFAULT: Self = Self {
        request_timeout: Duration::from_secs(5),
        header_timeout: Duration::from_secs(15),
        write_timeout: Duration::from_secs(15),
        request_head: 32 * 1024,
        drain_timeout: Duration::from_secs(10),
        request_body: 16 * 1024,
        response_body: 256 * 1024,
        memory: 16 * 1024 * 1024,
        connections: 1024,
        requests: 256,
        requests_per_instance: 16,
        instance_reuse: 10_000,
        instance_idle: Duration::from_secs(5),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
