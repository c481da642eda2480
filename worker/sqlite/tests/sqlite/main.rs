//! The conformance suites on the embedded engine.
#![cfg(test)]

mod queue;
mod store;
