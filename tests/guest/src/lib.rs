//! A component that replaces the edge in tests. `/minimal` does the least that an edge can do, as the baseline for
//! measurements of the real one; every other path misbehaves in one way, for the tests of the host's limits.
//!
//! The crate builds a component for WASI and a worker for Cloudflare; natively it is empty.

#[cfg(target_os = "wasi")]
mod routes;
#[cfg(target_os = "wasi")]
mod service;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod worker;
