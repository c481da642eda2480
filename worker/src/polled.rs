//! The queue of a service behind an HTTP API, which leases messages in batches.

mod client;
mod service;

pub(crate) use self::client::{Answer, CallError, Client};
pub use self::service::{Cause, Idle, Receipt, Received, Service, ServiceError, Terms, Unsettled};
