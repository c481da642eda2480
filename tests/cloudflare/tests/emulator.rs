//! Tests of the emulator over HTTP, in one binary.
#![cfg(test)]

#[path = "emulator/api.rs"]
mod api;
#[path = "emulator/broker.rs"]
mod broker;
#[path = "emulator/client.rs"]
mod client;
#[path = "emulator/faults.rs"]
mod faults;
#[path = "emulator/limits.rs"]
mod limits;
#[path = "emulator/load.rs"]
mod load;
#[path = "emulator/oracle.rs"]
mod oracle;
#[path = "emulator/outage.rs"]
mod outage;
#[path = "emulator/program.rs"]
mod program;
