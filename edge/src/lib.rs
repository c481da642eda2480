//! The edge accepts a driver's request, puts it on the queue, and acknowledges it once the queue has confirmed it.
//!
//! [`accept`] is the complete HTTP behaviour and does not depend on a host. The target selects the adapter: a component
//! for Spin and for wasmtime in process (`target_os = "wasi"`), a worker for Cloudflare (`wasm32-unknown-unknown`). The
//! edge keeps no state, never calls the authorization service, and has no reachable panic: a trap would end every other
//! request of the instance.

mod accept;
mod body;
mod host;
mod http;
mod problem;
mod session;
mod settings;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod cloudflare;
#[cfg(target_os = "wasi")]
mod spin;

pub use accept::accept;
pub use body::{RequestBody, RequestBodyError};
pub use host::EdgeHost;
pub use http::{EdgeRequest, EdgeResponse};
pub use settings::{EdgeSettings, EdgeSettingsError};
