//! The edge as a worker in workerd, with its queue on a scripted broker.

mod clients;
mod configuration;
mod emulator;
mod faults;
mod fixtures;
mod measure;
pub(crate) mod support;
mod traps;
