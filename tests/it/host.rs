//! The host: its limits against guests and clients that misbehave, and its way of stopping.

mod clients;
mod guests;
mod instances;
mod stop;
pub(crate) mod support;
