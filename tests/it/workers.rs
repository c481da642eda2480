//! The edge as a worker in workerd, with its queue at a broker that does as it is told.

mod clients;
mod configuration;
mod emulator;
mod faults;
mod fixtures;
mod measure;
pub(crate) mod support;
mod traps;
