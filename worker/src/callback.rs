//! Posting decisions to callback URLs.

mod client;
mod connector;
mod delivery;
mod hosts;

pub use client::{CallbackClient, CallbackClientError};
pub use connector::{Resolve, SystemResolver};
pub use delivery::DeliverySettings;
pub(crate) use delivery::{Delivery, Dispatcher, release};

#[cfg(test)]
mod tests;
