//! A local emulator of Cloudflare Queues for tests and development; Cloudflare's own tools have no local HTTP pull.
//!
//! It serves two protocols on one port: that of queue bindings in the Workers runtime, and the public API with which
//! consumers pull. It enforces all documented limits; tests can advance its clock and schedule faults. Where the
//! documentation is silent, it behaves in the way that is harder for a client.

mod api;
mod broker;
mod calls;
mod clock;
mod emulator;
mod fault;
pub mod limits;
mod message;
mod queue;
mod refusal;
mod server;
mod service;
mod settings;
mod state;

pub use broker::QUEUE_HEADER;
pub use calls::{EmulatorEndpoint, EndpointTally};
pub use emulator::{CloudflareEmulator, EmulatedQueueSnapshot, EmulatorStartError};
pub use fault::{EmulatorFault, GarbageBody};
pub use message::{
    EmulatorMessage, EmulatorMessageError, JsonBodyForm, MessageContentType, MessageContentTypeError,
};
pub use queue::MessageOutcomes;
pub use settings::{
    ApiTokenSettings, EmulatedQueueSettings, EmulatorSettings, EmulatorSettingsError, PullConsumerSettings,
    QueueConsumer, TokenPermission,
};
