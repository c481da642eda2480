//! What all components that bring the edge a queue do the same way: read their settings, keep to a time limit, and tell
//! the operator why nothing is confirmed.
//!
//! [`Instance`] knows no host; for WASI, `spin.rs` is one.

#[cfg(target_os = "wasi")]
mod spin;

mod error;
mod instance;
mod setting;
mod together;
mod within;

pub use error::QueueError;
pub use instance::{Cause, Engine, Host, Instance, Unreadable};
pub use setting::{SettingError, number};
#[cfg(target_os = "wasi")]
pub use spin::Spin;
pub use within::within;
