//! Tests of the built program and its components, in one binary.
#![cfg(test)]

mod app;
mod authorization;
mod chaos;
mod cloud;
mod demo;
mod documentation;
mod durability;
mod edge_fixtures;
mod host;
mod limits;
mod operators;
mod overload;
mod posts;
mod send;
mod servers;
mod sessions;
mod signatures;
mod spin;
mod stop;
mod workers;
