//! Settings of a host.

use std::path::PathBuf;
use std::time::Duration;

/// The component to run, its environment and its limits.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// The environment variables of the component; it sees no others.
    pub variables: Vec<(String, String)>,
    /// The folder that caches compiled components for the next start; `None` compiles at every start.
    pub cache: Option<PathBuf>,
    /// The limits.
    pub limits: HostLimits,
}

impl HostSettings {
    /// Returns settings that run `component` without variables and cache, within the default limits.
    #[must_use]
    pub fn new(component: Vec<u8>) -> Self {
        Self { component, variables: Vec::new(), cache: None, limits: HostLimits::default() }
    }
}

/// The limits that a host enforces on the component and its clients.
#[derive(Clone, Copy, Debug)]
pub struct HostLimits {
    /// Time from the head of a request to its response: 5 s.
    pub request_timeout: Duration,
    /// Time for a client to send the head of a request, idle time on a kept-alive connection included: 15 s.
    pub header_timeout: Duration,
    /// Time for a client to read the next part of a response: 15 s.
    pub write_timeout: Duration,
    /// Maximum size of the head of a request, in bytes, exceeded at most by the size of one read: 32 KiB.
    pub request_head: usize,
    /// Time from the shutdown signal until open connections are cut: 10 s.
    pub drain_timeout: Duration,
    /// Maximum size of a request body that reaches the component, in bytes: 16 KiB.
    ///
    /// The component's own limit is lower, and its response to the client is more precise.
    pub request_body: usize,
    /// Maximum size of a response body, in bytes: 256 KiB.
    pub response_body: usize,
    /// Maximum memory of one instance, in bytes: 16 MiB.
    pub memory: usize,
    /// Maximum number of open connections; further ones wait in the listener's backlog: 1,024.
    pub connections: usize,
    /// Maximum number of concurrent requests in the component; further ones wait, up to the request timeout: 256.
    pub requests: usize,
    /// Maximum number of concurrent requests in one instance: 16.
    pub requests_per_instance: usize,
    /// Number of requests that one instance serves before it is replaced: 10,000.
    pub instance_reuse: usize,
    /// Time until an instance without requests is dropped: 5 s.
    pub instance_idle: Duration,
}

impl HostLimits {
    /// The default limits.
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

impl Default for HostLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
