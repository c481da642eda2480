//! Cloudflare Queues on one's own machine, for tests and development: no local HTTP pull exists in Cloudflare's tools.
//!
//! It speaks two protocols on one port: the one that the Workers runtime speaks for a queue binding, and the public
//! API with which consumers pull. All documented limits hold, time can be advanced, and faults are had on demand.
//! Where the documentation is silent, the harder case for a client is chosen.

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
pub use emulator::{CloudflareEmulator, EmulatorStartError, QueueSnapshot};
pub use fault::{EmulatorFault, GarbageBody};
pub use message::{
    EmulatorMessage, EmulatorMessageError, JsonBodyForm, MessageContentType, MessageContentTypeError,
};
pub use queue::MessageOutcomes;
pub use settings::{
    ApiTokenSettings, EmulatedQueueSettings, EmulatorSettings, EmulatorSettingsError, PullConsumerSettings,
    QueueConsumer, TokenPermission,
};
