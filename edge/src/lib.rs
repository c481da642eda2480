//! The edge: takes a driver's request, puts it on the queue, and acknowledges it once the queue has confirmed it.
//!
//! [`accept`] is the whole HTTP behaviour and knows no host; the target picks the host that translates: a component for
//! Spin and for wasmtime in process (`target_os = "wasi"`), a worker for Cloudflare (`wasm32-unknown-unknown`). It holds
//! no state, never asks the authorization service, and has no reachable panic: a trap would end every other request of
//! the instance.

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
pub use body::{Body, BodyError};
pub use host::{Host, QueueError};
pub use http::{Request, Response};
pub use settings::{SettingError, Settings};
