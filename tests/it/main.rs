//! Tests of the built program and its components, in one binary.
#![cfg(test)]

mod edge_fixtures;
mod host;
