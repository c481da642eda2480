//! A component that stands in for the edge: `/minimal` does the least an edge can do and is what the real one is
//! measured against; every other path misbehaves in one way, for the tests of the host's limits.
//!
//! It is a component, and a worker for Cloudflare; natively the crate is empty.

#[cfg(target_os = "wasi")]
mod routes;
#[cfg(target_os = "wasi")]
mod service;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod worker;
