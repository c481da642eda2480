//! The parts that all queue components of the edge share: reading settings, reporting outages, and the bindings of
//! the exported interface.
//!
//! [`QueueInstance`] does not depend on a host; `spin.rs` implements one for WASI.

#[cfg(target_os = "wasi")]
pub mod bindings;
#[cfg(target_os = "wasi")]
mod spin;

mod engine;
mod instance;
mod settings;

pub use engine::{QueueEngine, QueueEngineError};
pub use instance::{ComponentHost, QueueInstance, VariableError};
pub use settings::{ComponentSettings, ComponentSettingsError, parse_number, parse_timeout};
#[cfg(target_os = "wasi")]
pub use spin::SpinComponentHost;
