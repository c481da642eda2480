//! Delivery of decisions to callback URLs.

mod client;
mod connector;
mod delivery;
mod permits;

pub use client::{CallbackClient, CallbackClientError};
pub use connector::{HostResolver, SystemResolver};
pub use delivery::DeliverySettings;
pub(crate) use delivery::{Delivery, Dispatcher, release};

#[cfg(test)]
mod tests;
