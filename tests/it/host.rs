//! The embedded host: limits against misbehaving guests and clients, and shutdown.

mod clients;
mod guests;
mod instances;
mod stop;
pub(crate) mod support;
