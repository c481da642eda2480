//! The conformance suites on the SQLite engine.
#![cfg(test)]

mod queue;
mod store;
