//! Conformance suites that every engine passes.

pub mod queues;
pub mod stores;
