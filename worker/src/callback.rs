//! Delivery of decisions to callback URLs.

mod client;
mod connector;
mod delivery;
mod exchange;
mod idle;
mod proxy;
mod receivers;
mod resolver;
mod signature;
mod signer;
mod tls;

pub use client::CallbackClient;
pub use delivery::DeliverySettings;
pub(crate) use delivery::{Delivery, Dispatcher, release};
pub use proxy::{CallbackProxy, CallbackProxyError};
pub use resolver::{DnsResolver, DnsResolverError, LookupError, ReceiverResolver};
pub use signature::{CallbackKeyError, CallbackKeys};
pub use signer::{CallbackKeyFileError, CallbackSigner};
pub use tls::{CallbackTls, CallbackTlsError, CallbackTlsFiles};

/// The name of this program in requests.
const USER_AGENT: &str = concat!("chargegate/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
